"""Selection of base sets, by its definition."""


def adjacency(neighbors: list[list[int]], labels: list[int]) -> list[set[int]]:
    """Rows of known class joined to each row, in either direction."""
    joined: list[set[int]] = [set() for _ in labels]
    for row, others in enumerate(neighbors):
        for other in others:
            if other != row and labels[row] >= 0 and labels[other] >= 0:
                joined[row].add(other)
                joined[other].add(row)
    return joined


def local_maxima(scores: list[float], joined: list[set[int]]) -> set[int]:
    """Rows not below any neighbour, the lower one of two that are adjacent."""
    maxima = [r for r in range(len(scores)) if all(scores[r] >= scores[o] for o in joined[r])]
    return {r for r in maxima if not any(o in joined[r] and o < r for o in maxima)}


def selected(
    labels: list[int], scores: list[float], count: int, preferred: set[int] | None = None
) -> list[int]:
    """The rows by definition: class by class, one after the other, the best that is left."""
    chosen: list[int] = []
    for label in {label for label in labels if label >= 0}:
        left = [row for row in range(len(labels)) if labels[row] == label]
        for _ in range(min(count, len(left))):
            first = [row for row in left if row in (preferred or ())] or left
            highest = max(scores[row] for row in first)
            best = min(row for row in first if scores[row] == highest)
            chosen.append(best)
            left.remove(best)
    return sorted(chosen)
