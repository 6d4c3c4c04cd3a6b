"""What hands show, of joints in a network: features of the fingers; arms and hands, the leading hand first."""

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


BODY = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
MOUTH, WRISTS = ("mouth_left", "mouth_right"), ("left_wrist", "right_wrist")
SPANS = ((0, 5), (0, 9), (0, 13), (0, 17), (5, 17))
"""Joints of a hand whose mean distance is a palm's length."""
PLANE = 2
LOWEST = 2.0
"""Limb lengths below the origin at which a hand that is seen counts nothing."""


class SignFeatures(nn.Module):
    """Joints (N, C, T, V) about the shoulders -> (N, T, F): what does not depend on whose body and which hand it is.

    A clip whose left hand leads is mirrored first, unless sides count: the leading hand is the one that is seen longer
    and higher. Then, of each frame: head, arms and shoulders in the picture's plane; of each hand its points from the
    wrist, in lengths of its own palm, whether it is seen and where its wrist is from the mouth; the fingers' features
    where wanted. A hand is seen where all of its points are; a missing one is 0.
    """

    mirror: Tensor
    flipped: Tensor
    body: Tensor
    order: Tensor
    mouth: Tensor
    wrists: Tensor
    spans: Tensor

    def __init__(self, layout: Layout, channels: int, *, fingers: bool, sides: bool = False) -> None:
        super().__init__()
        place, self.channels, self.sides = joints_of(layout), channels, sides
        numbers = {
            "mirror": layout.mirror, "order": hand_joints(layout), "spans": SPANS,
            "body": [place[name] for name in BODY], "mouth": [place[name] for name in MOUTH],
            "wrists": [place[name] for name in WRISTS],
        }  # fmt: skip
        for name, joints in numbers.items():
            self.register_buffer(name, torch.tensor(joints), persistent=False)
        flipped = torch.ones(channels, 1, 1)
        flipped[0] = -1
        self.register_buffer("flipped", flipped, persistent=False)
        self.fingers = FingerFeatures(layout) if fingers else None
        each = channels * (POINTS - 1) + 1 + PLANE
        self.width = PLANE * len(BODY) + len(SIDES) * each + (0 if self.fingers is None else self.fingers.width)

    def forward(self, joints: Tensor) -> Tensor:
        joints = joints if self.sides else self.right_leads(joints)
        frames = joints.permute(0, 2, 3, 1)
        hands, seen = self.hands(frames)
        mouth = frames.index_select(2, self.mouth)[..., :PLANE].mean(2, keepdim=True)
        wrist = hands[..., :1, :]
        around = ((hands - wrist)[..., 1:, :] / self.palm(hands)[..., None, None]).flatten(3)
        away = wrist[..., 0, :PLANE] - mouth
        body = frames.index_select(2, self.body)[..., :PLANE].flatten(2)
        parts = [body, torch.cat([around * seen, seen, away * seen], dim=-1).flatten(2)]
        return torch.cat(parts if self.fingers is None else [*parts, self.fingers(joints)], dim=-1)

    def columns(self) -> list[tuple[str, int]]:
        """What each feature tells, `body`, `around`, `seen`, `away` or `fingers`, and of which hand, 2 for none."""
        hands = range(len(SIDES))
        around = ["around"] * self.channels * (POINTS - 1)
        told = [("body", len(SIDES))] * PLANE * len(BODY)
        told += [(what, hand) for hand in hands for what in (*around, "seen", *["away"] * PLANE)]
        return told + ([] if self.fingers is None else [("fingers", hand) for hand in hands for _ in range(ONE_HAND)])

    def right_leads(self, joints: Tensor) -> Tensor:
        """The clips (N, C, T, V), those mirrored whose left hand is seen longer and higher than the right one."""
        _, seen = self.hands(joints.permute(0, 2, 3, 1))
        height = LOWEST - joints[:, 1].index_select(-1, self.wrists)
        left, right = (seen[..., 0] * height).sum(1).chunk(2, dim=1)
        reflected = joints.index_select(-1, self.mirror) * self.flipped
        return torch.where((left > right)[..., None, None], reflected, joints)

    def hands(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, T, V, C) -> hands (N, T, 2, 21, C), the left one first, and 1 for a seen one (N, T, 2, 1)."""
        hands = torch.unflatten(frames.index_select(2, self.order), 2, (len(SIDES), POINTS))
        return hands, (hands != 0).any(-1).all(-1, keepdim=True).to(frames.dtype)

    def palm(self, hands: Tensor) -> Tensor:
        """(..., 21, C) -> (...): a palm's length."""
        ends = hands.index_select(-2, self.spans[:, 0]) - hands.index_select(-2, self.spans[:, 1])
        return length(ends).mean(-1).clamp(min=SHORTEST)


def shows_hands(layout: Layout) -> bool:
    """Whether a layout has all points of both hands."""
    return {side + bone for side in SIDES for chain in CHAINS for bone in ("wrist", *chain)} <= set(layout.names)


def shows_signer(layout: Layout) -> bool:
    """Whether a layout has both hands, arms and a head."""
    return shows_hands(layout) and set(BODY) <= set(layout.names)


def joints_of(layout: Layout) -> dict[str, int]:
    """Where each joint stands; `UsageError` for a layout without a signer's head and arms."""
    place = {name: number for number, name in enumerate(layout.names)}
    missing = [name for name in BODY if name not in place]
    if missing:
        expected = "a layout with head and arms, such as mediapipe_holistic75"
        raise UsageError("a signer has arms and a head", where=layout.name, expected=expected, got=f"no {missing[0]}")
    return place
