"""A skeleton: how cells are stacked to a network (section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from tanas.ground.errors import SettingError, check_choice

STEMS = ("full", "half", "quarter")


@dataclass(frozen=True, order=True, kw_only=True)
class Skeleton:
    """Stem, stages of cells with a reduction between some, and a head.

    The stem is a 3x3 convolution with BatchNorm to the first width. A stage of another width or resolution than the
    stage before begins with max-pooling (if reduced) and a 1x1 convolution with BatchNorm (if the width changes). The
    head is ReLU, the mean over all positions, and a linear layer.
    """

    stem: str = "full"
    """'full' keeps the resolution, 'half' halves it (stride 2), 'quarter' has ReLU and a second such convolution."""
    widths: tuple[int, ...]
    """Channels of each stage."""
    cells: tuple[int, ...]
    """Cells of each stage."""
    reductions: tuple[bool, ...]
    """Whether each stage begins at half the resolution of the stage before."""

    def __post_init__(self) -> None:
        check_choice(self.stem, "stem", "Skeleton", STEMS)
        if not self.widths or not len(self.widths) == len(self.cells) == len(self.reductions):
            raise SettingError(
                "The 'widths', 'cells' and 'reductions' of Skeleton must have one entry a stage. "
                f"Got {len(self.widths)}, {len(self.cells)} and {len(self.reductions)} instead."
            )
        if min(self.widths) < 1 or min(self.cells) < 1:
            raise SettingError(
                "The 'widths' and 'cells' of Skeleton must be at least 1. "
                f"Got {self.widths} and {self.cells} instead."
            )

    @property
    def stem_halvings(self) -> int:
        """How often the stem halves the resolution."""
        return STEMS.index(self.stem)

    @property
    def stages(self) -> tuple[tuple[int, int, bool], ...]:
        """(width, cells, reduction) of each stage."""
        return tuple(zip(self.widths, self.cells, self.reductions, strict=True))
