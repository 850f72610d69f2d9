"""Bilevel graph learning."""

from dataclasses import fields, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from lapbench.datasets._task import Task
from lapbench.methods._bilevel_network import NetworkModel
from lapbench.methods._bilevel_nodes import LaplacianModel
from lapbench.methods._bilevel_samples import SampleModel
from lapbench.methods._learned_graph import GraphKind
from lapbench.methods._protocol import GradientKind, Head, Model
from lapbench.methods._unrolled import InnerOptimizer

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveInteger = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Bilevel(Head):
    r"""Bilevel graph learning: edge weights that make a classifier of V_tr right on V_out.

    .. math:: \min_A \frac{1}{|V_{out}|} \sum_{i \in V_{out}} \ell(Y(A)_i, y_i) + \gamma R(A),

    where Y(A) minimises an inner problem on other labelled samples V_tr: Laplacian regularisation
    (eq. 1), or the training of a graph network (eq. 2). The gradient in A is the hypergradient.
    An epoch is an outer iteration. Prefer it where a graph is given and not trusted.

    On **node tasks** the edges are the observed ones. With ``inner = "laplacian"`` the backbone
    plays no part; with ``"network"`` it is what is trained inside. V_out is what the task names,
    else half of the training nodes. Of all outer iterations, and inner steps where these are
    unrolled, that of the highest validation accuracy is kept, the first of several; the metric
    ``last_step_accuracy`` is without this choice; the curve of an outer iteration is that of the
    graph before its step. On **other tasks** a graph of nearest neighbours
    joins backbone features of V_tr, half of the training samples, and of the batch; the backbone
    is trained with the weights, and the last epoch is kept, as for every method.

    Args:
        inner: ``"laplacian"`` or ``"network"``.
        graph: ``"edges"`` learns a weight σ(θ) an edge (edge refinement), ``"g2g"`` a function of
            the ends' features; ``"observed"`` learns none and trains on V_tr ∪ V_out: the control.
        hypergradient: ``"implicit"``, by an adjoint solve at the inner minimum (Laplacian alone);
            ``"unrolled"`` through all inner steps by ``higher``, whose memory grows with them;
            ``"truncated"`` through the last ``truncation`` of them. With Adam on eq. 1 the last two
            need not approach the implicit one: on Cora they diverge (suite ``hypergradients``).
        regularization: γ of the graph regularisation, −mean log degree; 0 is without.
        power: r; refines the edges between all nodes at most r edges apart (node tasks alone).
        directed: learns two weights an edge, as the authors' code; the Laplacian has their mean.
        laplacian_strength: λ of eq. 1.
        ridge: μ, of μ/2 ‖Y‖² in eq. 1, which has no minimiser on most graphs without it.
        inner_optimizer: of unrolling, and of the network: ``"adam"``, ``"gradient-descent"``, or
            ``"heavy-ball"`` of momentum 0.97.
        inner_learning_rate: of Adam; for the other two a multiple of 1/L, L being a bound of the
            inner curvature, which counts as a constant in the hypergradient; 3 suits heavy ball.
            By default 0.1 for eq. 1 and 0.01 for eq. 2.
        tolerance: of the implicit hypergradient, on the relative residual of its linear solve;
            entries below it beside the largest are not exact.
        inner_steps: τ_in, of the inner optimiser; by default 500 for eq. 1 and 100 for eq. 2.
        truncation: inner steps that are differentiated if ``"truncated"``.
        inner_start: standard deviation of random scores at which the inner steps of eq. 1 begin on
            node tasks; on others they begin at 0.
        precision: of the inner steps of eq. 1; its implicit solution is float64 always.
        k: neighbours on other tasks.
        inner_per_class: samples of V_tr per class on other tasks, or ``"half"`` of them. All pass
            through the backbone in every step: choose a number where there are thousands.

    Raises:
        ValueError: if an option is given that the others leave without effect, V_tr or V_out is
            empty, a class of V_out is missing in V_tr, or no minimiser exists (``ridge = 0``).

    Source: bilevel paper, sections 1, 5 and 6; there λ = 1 (0.1 on the observed graph), Adam with
    rate 0.1 and 500 steps for eq. 1, 0.01 and 100 for eq. 2, outer Adam with 150 iterations of rate
    0.01 (``"g2g"``: 0.001, with the network 0.0001), γ = 1.

    """

    inner: Literal["laplacian", "network"] = "laplacian"
    graph: GraphKind = "g2g"
    hypergradient: Literal["implicit", "unrolled", "truncated"] = "implicit"
    regularization: NonNegative = 0.0
    power: PositiveInteger = 1
    directed: bool = False
    laplacian_strength: Positive = 1.0
    ridge: NonNegative = 1e-5
    tolerance: Annotated[float, Field(gt=0, le=1e-3)] = 1e-8
    inner_optimizer: InnerOptimizer = "adam"
    inner_learning_rate: Positive | None = None
    inner_steps: PositiveInteger | None = None
    truncation: PositiveInteger = 50
    inner_start: NonNegative = 1.0
    precision: Literal["float32", "float64"] = "float64"
    k: PositiveInteger = 25
    inner_per_class: PositiveInteger | Literal["half"] = "half"

    batch_dependent: ClassVar[bool] = True
    note: ClassVar[str] = (
        "bilevel keeps on node tasks what has the highest validation accuracy, as its paper does; "
        "last_step_accuracy is without this choice. Evaluated on the validation split itself, its "
        "accuracy is the highest of all that were seen. Backbones play no part with "
        'inner = "laplacian" there'
    )

    @model_validator(mode="after")
    def _check(self) -> "Bilevel":
        if (unused := self._unused()) is not None:
            raise ValueError(unused)
        learned = self.graph != "observed"
        if self.inner == "network" and self.hypergradient == "implicit" and learned:
            raise ValueError(
                'inner = "network" has no implicit hypergradient, as its minimum is not unique; '
                'accepted are hypergradient = "unrolled" and "truncated"'
            )
        if self.inner == "network" and self.inner_optimizer != "adam":
            raise ValueError(
                f'inner = "network" with inner_optimizer = "{self.inner_optimizer}": steps of it '
                'are multiples of 1/L, and L is not known for a network; accepted is "adam"'
            )
        if self.directed and self.graph != "edges":
            raise ValueError(f'directed: not used by graph = "{self.graph}"; accepted is "edges"')
        if self.hypergradient == "truncated" and self.truncation > self.steps:
            raise ValueError(
                f"truncation = {self.truncation} is above inner_steps = {self.steps}; lower it"
            )
        return self

    def _unused(self) -> str | None:
        """Return the complaint about a given option that has no effect beside the others."""
        defaults = {field.name: field.default for field in fields(self)}
        of_steps = ["inner_optimizer", "inner_learning_rate", "inner_steps", "inner_start"]
        without_effect = {
            'hypergradient = "implicit"': [*of_steps, "precision", "truncation"],
            'hypergradient = "unrolled"': ["tolerance", "truncation"],
            'hypergradient = "truncated"': ["tolerance"],
            'inner = "network"': ["laplacian_strength", "ridge", "precision", "inner_start"],
            'graph = "observed"': ["regularization"],
        }
        if self.inner == "network":
            without_effect['hypergradient = "implicit"'] = []
        for name in ("hypergradient", "inner", "graph"):
            chosen = f'{name} = "{getattr(self, name)}"'
            for option in without_effect.get(chosen, []):
                value = getattr(self, option)
                if value != defaults[option]:
                    return (
                        f"{option}: received {value!r}, but {chosen} does not use it; leave it out"
                    )
        return None

    def implicit(self) -> "Bilevel":
        """Return the same with the implicit hypergradient."""
        steps: dict[str, Any] = {
            field.name: field.default
            for field in fields(self)
            if field.name.startswith("inner_") and field.name != "inner_per_class"
        }
        return replace(self, **steps, hypergradient="implicit", precision="float64", truncation=50)

    def stopped(self, steps: int) -> "Bilevel":
        """Return the same with as many inner steps, where there are steps."""
        if self.hypergradient == "implicit" or not steps:
            return self
        if self.hypergradient == "unrolled":
            return replace(self, inner_steps=steps)
        return replace(self, inner_steps=steps, truncation=min(self.truncation, steps))

    @property
    def gradient_kind(self) -> GradientKind:
        """How the hypergradient is obtained; autograd where no graph is learned."""
        return "autograd" if self.graph == "observed" else self.hypergradient

    @property
    def differentiable_steps(self) -> int:
        """Inner steps through which is differentiated."""
        return self.truncation if self.hypergradient == "truncated" else self.steps

    @property
    def steps(self) -> int:
        """Inner steps τ_in, also where none were given."""
        return self.inner_steps or (500 if self.inner == "laplacian" else 100)

    @property
    def rate(self) -> float:
        """Rate of the inner optimiser, also where none was given."""
        return self.inner_learning_rate or (0.1 if self.inner == "laplacian" else 0.01)

    def skip(self, task: Task) -> str | None:
        """Return a reason where an option needs a graph that the task does not have."""
        if task.nodes_only:
            return None
        needs = {
            'inner = "network"': self.inner == "network",
            f'graph = "{self.graph}"': self.graph != "g2g",
            f"power = {self.power}": self.power > 1,
        }
        asked = " and ".join(name for name, used in needs.items() if used)
        return f"bilevel: {asked} needs a node task; {task.name} has no graph" if asked else None

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the model for a node task, or for one of vectors and images.

        Raises:
            ValueError: as the class says, or if a network is to be trained that has no graph.

        """
        if not task.nodes_only:
            self._check_samples(task)
            return SampleModel(backbone, self, task)
        if self.inner == "laplacian":
            return LaplacianModel(self, task)
        if not hasattr(backbone, "reach"):
            raise ValueError(
                'bilevel: inner = "network" received a backbone that does not use the graph; '
                "accepted are gnn and appnp"
            )
        return NetworkModel(backbone, self, task)

    def _check_samples(self, task: Task) -> None:
        """Refuse a task in which a class would be missing from V_tr or from V_out."""
        smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
        per_class = 1 if self.inner_per_class == "half" else self.inner_per_class
        if per_class >= smallest:
            raise ValueError(
                f"inner_per_class: received {self.inner_per_class!r}, but the smallest class of "
                f"{task.name} has {smallest} labelled training samples, and some must stay for "
                f"V_out; accepted are 1..{smallest - 1}, and 'half' of 2 or more"
            )
