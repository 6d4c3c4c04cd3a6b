"""Fifteen numbers a hand that do not change when the hand moves, turns or grows: how each finger stands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.skeleton.layout import Layout

SIDES = ("left_hand_", "right_hand_")
FINGERS, BONES = ("index", "middle", "ring", "pinky"), ("mcp", "pip", "dip", "tip")
CHAINS = (
    ("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(tuple(f"{finger}_{bone}" for bone in BONES) for finger in FINGERS),
)
PALM = (0, 5, 9, 13, 17)
POINTS, ONE_HAND = 21, 15
SHORTEST = 1e-4
LARGEST_COSINE = 0.9999


class FingerFeatures(nn.Module):
    """Joints (N, C, T, V) of a layout with two hands -> (N, T, 30), the left hand first, 0 for an absent one.

    Of each hand: five fingers' extension, from wrist to tip as a share of the way along the bones; four angles between
    neighbouring fingers, in radians; five distances between neighbouring tips, the last from little finger to thumb;
    and the tips' mean distance from the palm's centre. Distances count lengths from wrist to middle knuckle.
    """

    order: Tensor
    palm: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(hand_joints(layout)), persistent=False)
        self.register_buffer("palm", torch.tensor(PALM), persistent=False)

    @property
    def width(self) -> int:
        """Features a frame."""
        return len(SIDES) * ONE_HAND

    def forward(self, joints: Tensor) -> Tensor:
        """See the class."""
        picked = joints.index_select(-1, self.order)
        hands = torch.unflatten(picked, -1, (len(SIDES), POINTS)).permute(0, 2, 3, 4, 1)
        seen = (hands != 0).any(-1).all(-1, keepdim=True)
        features = torch.cat([extension(hands), spread(hands), *reach(hands, self.palm)], dim=-1)
        return (features * seen).flatten(2)


def hand_joints(layout: Layout) -> list[int]:
    """Joints of the left, then the right hand, in MediaPipe's order; `UsageError` for a layout without them."""
    place = {name: number for number, name in enumerate(layout.names)}
    names = ["wrist", *(joint for chain in CHAINS for joint in chain)]
    wanted = [side + name for side in SIDES for name in names]
    missing = [name for name in wanted if name not in place]
    if missing:
        expected = "a layout with two hands, such as mediapipe_holistic83"
        raise UsageError(
            "finger features need both hands", where=layout.name, expected=expected, got=f"no {missing[0]}"
        )
    return [place[name] for name in wanted]


def extension(hands: Tensor) -> Tensor:
    """(..., 21, C) -> (..., 5): |tip - wrist| over the length of the way along the bones, 0 to 1."""
    wrist = hands[..., :1, :]
    chains = torch.unflatten(hands[..., 1:, :], -2, (5, 4))
    first = length(chains[..., 0, :] - wrist)
    way = first + length(chains[..., 1:, :] - chains[..., :-1, :]).sum(-1)
    return length(chains[..., 3, :] - wrist) / way.clamp(min=SHORTEST)


def spread(hands: Tensor) -> Tensor:
    """(..., 21, C) -> (..., 4): angles between neighbouring fingers, each from its root to its tip."""
    chains = torch.unflatten(hands[..., 1:, :], -2, (5, 4))
    finger = chains[..., 3, :] - chains[..., 0, :]
    one, other = finger[..., :-1, :], finger[..., 1:, :]
    cosine = (one * other).sum(-1) / (length(one) * length(other)).clamp(min=SHORTEST**2)
    return torch.acos(cosine.clamp(-LARGEST_COSINE, LARGEST_COSINE))


def reach(hands: Tensor, palm: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 21, C) -> distances between neighbouring tips (..., 5), the tips' mean one from the palm (..., 1)."""
    unit = length(hands[..., 9, :] - hands[..., 0, :])[..., None].clamp(min=SHORTEST)
    tips = hands[..., 4::4, :]
    following = torch.cat([tips[..., 1:, :], tips[..., :1, :]], dim=-2)
    centre = hands.index_select(-2, palm).mean(-2, keepdim=True)
    return length(following - tips) / unit, length(tips - centre).mean(-1, keepdim=True) / unit


def length(vectors: Tensor) -> Tensor:
    """(..., C) -> (...)."""
    return vectors.square().sum(-1).sqrt()
