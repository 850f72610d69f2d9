"""The hyper-parameters of bilevel graph learning."""

from dataclasses import fields, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import GradientKind
from lapbench.methods.bilevel.learned_graph import GraphKind
from lapbench.methods.bilevel.unrolling import InnerOptimizer

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveInteger = Annotated[int, Field(ge=1)]


@validated
class BilevelOptions:
    """What bilevel graph learning learns, and how; see :class:`lapbench.methods.bilevel.Bilevel`.

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
        ValueError: if an option is given that the others leave without effect, or they contradict
            each other.

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (unused := self._unused()) is not None:
            raise ValueError(unused)
        learned = self.graph != "observed"
        if self.inner == "network" and self.hypergradient == "implicit" and learned:
            raise ValueError(
                'hypergradient: received "implicit" with inner = "network", whose minimum is not '
                'unique; must be "unrolled" or "truncated"'
            )
        if self.inner == "network" and self.inner_optimizer != "adam":
            raise ValueError(
                f'inner_optimizer: received "{self.inner_optimizer}" with inner = "network"; must '
                'be "adam": steps of the others are multiples of 1/L, which a network does not have'
            )
        if self.directed and self.graph != "edges":
            raise ValueError(
                f'directed: received true with graph = "{self.graph}", which does not use it; '
                'must be false, or graph = "edges"'
            )
        if self.hypergradient == "truncated" and self.truncation > self.steps:
            raise ValueError(
                f"truncation: received {self.truncation}; must be <= inner_steps = {self.steps}"
            )
        return self

    def _unused(self) -> str | None:
        """The complaint about a given option that has no effect beside the others."""
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

    def implicit(self) -> Self:
        """The same with the implicit hypergradient."""
        steps: dict[str, Any] = {
            field.name: field.default
            for field in fields(self)
            if field.name.startswith("inner_") and field.name != "inner_per_class"
        }
        return replace(self, **steps, hypergradient="implicit", precision="float64", truncation=50)

    def stopped(self, steps: int) -> Self:
        """The same with as many inner steps, where there are steps."""
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
