"""What every recogniser's body offers beside `forward(streams) -> logits`."""

from __future__ import annotations

from torch import Tensor, nn


class Body(nn.Module):
    """Streams (N, S*C, T, V), or (N, M, S*C, T, V) for several bodies -> logits (N, K).

    streamable: runs frame by frame with a state of its own. reads_all_bodies: costs are stated for two bodies.
    """

    streamable = False
    reads_all_bodies = False

    def receptive_field(self) -> int | None:
        """Input frames that one position of the last feature map depends on; None where it depends on the whole clip.

        Counted without the input's normalisation, which may centre a clip on its first frame.
        """
        return None

    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the feature map after each stage; empty for a body that shows no stages."""
        return ()

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        """One forward pass: the clip's feature map after each stage, (N, C_i, T_i, V), and logits (N, K).

        Where the body reads several streams or bodies apart, a clip's map is the mean over those that are there.
        """
        return [], self(streams)

    def auxiliary_loss(self) -> Tensor | None:
        """Unweighted term to add to the loss, of the last forward pass in training; None where there is none."""
        return None

    def training_only(self) -> tuple[nn.Module, ...]:
        """Modules that only training needs; an exported model goes without."""
        return ()
