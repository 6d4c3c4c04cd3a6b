"""Sign language to text: an encoder of frames and a decoder of sub-words (Vaswani et al. 2017; Camgoz et al. 2020)."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.front import LandmarkFront
from last_edge.models.last_body import LastBody
from last_edge.models.layers.attention import DecoderLayer, PreNormEncoderLayer
from last_edge.models.registry import TRANSLATORS, adjust, create_model
from last_edge.names import check_known

KERNEL = 5


@dataclass(frozen=True)
class Options:
    """Size and switches.

    width: of a token; layers, decoder_layers, heads; hidden: of the feed-forward parts. dropout: after embedding,
    attention and feed-forward, and on attention weights. longest: most sub-words of a sentence, its end included.
    seen: add to a frame, for every point, whether it was seen. stride: frames a token of the encoder stands for: 1
    embeds each frame by itself, 2, 4 or 8 by as many convolutions over time with stride 2 as it takes. tied: one table
    embeds sub-words and scores them. trunk: a recogniser whose trunk, made with trunk_options, looks at stretches of
    trunk_frames frames and hands on a token for every few frames, instead of the frames' points; empty for none.
    """

    width: int = 256
    layers: int = 2
    decoder_layers: int = 2
    heads: int = 8
    hidden: int = 1024
    dropout: float = 0.3
    longest: int = 50
    seen: bool = False
    stride: int = 1
    tied: bool = False
    trunk: str = ""
    trunk_options: dict[str, Any] = field(default_factory=dict)
    trunk_frames: int = 32

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 2:
            expected = f"an even multiple of {self.heads}"
            raise UsageError("model option width does not fit the heads", expected=expected, got=self.width)
        if self.stride not in (1, 2, 4, 8):
            raise UsageError("model option stride is 1, 2, 4 or 8", got=self.stride)
        if min(self.layers, self.decoder_layers, self.longest) < 1:
            raise UsageError("model options layers, decoder_layers and longest are 1 or more")


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of a clip: keys and values (N, layers, H, S, d), keep (N, S) 1 for tokens that are there.

    A token is there when one of its frames shows a point; padding has no say in anything.
    """

    keys: Tensor
    values: Tensor
    keep: Tensor


class Sign2Text(nn.Module):
    """Points (N, T, V, C) of any length T, NaN where missing, and sub-words (N, L) -> logits (N, L, K).

    A frame without any point is padding: nothing attends to it, and how many of them follow a clip changes nothing.
    """

    def __init__(self, spec: InputSpec, tokens: int, options: Options) -> None:
        super().__init__()
        if spec.bodies != 1:
            raise UsageError("sign2text reads one body", expected="input.bodies=1", got=spec.bodies)
        o = self.options = options
        self.front = LandmarkFront(spec)
        self.trunk = TrunkTokens(spec, o.trunk, o.trunk_options, frames=o.trunk_frames) if o.trunk else None
        features = spec.layout.joints * (len(spec.streams) * spec.channels + o.seen)
        self.stem = FrameStem(features if self.trunk is None else self.trunk.width, o.width, stride=o.stride)
        shape: dict[str, Any] = {"heads": o.heads, "hidden": o.hidden, "dropout": o.dropout}
        self.encoder = nn.ModuleList(PreNormEncoderLayer(o.width, **shape) for _ in range(o.layers))
        self.encoder_norm = nn.LayerNorm(o.width)
        self.embed = nn.Embedding(tokens, o.width)
        self.decoder = nn.ModuleList(DecoderLayer(o.width, **shape) for _ in range(o.decoder_layers))
        self.decoder_norm = nn.LayerNorm(o.width)
        self.score = TiedScore(tokens) if o.tied else nn.Linear(o.width, tokens)
        self.dropout = nn.Dropout(o.dropout)
        # As Glorot & Bengio 2010; embeddings N(0, 1/D), so that scaled they are N(0, 1).
        trunk = set() if self.trunk is None else set(self.trunk.modules())
        for module in self.modules():
            if isinstance(module, nn.Linear) and module not in trunk:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.embed.weight, 0.0, self.options.width**-0.5)
        frames = spec.frames
        if self.trunk is not None:
            frames = math.ceil(frames / o.trunk_frames) * o.trunk_frames // self.trunk.rate
        length = max(math.ceil(frames / o.stride), o.longest)
        self.register_buffer("positions", sinusoids(length, o.width), persistent=False)

    @torch.no_grad()
    def deployed(self) -> Sign2Text:
        """The model to export, norms and masks of its trunk folded away; itself where it has none."""
        if self.trunk is None:
            return self
        made = copy.deepcopy(self)
        assert made.trunk is not None
        made.trunk.body.double().eval().fold_stages(made.trunk.frames)
        made.trunk.body.float()
        return made.eval()

    @property
    def spec(self) -> InputSpec:
        """What the model takes; `frames` is the most it takes."""
        return self.front.spec

    def forward(self, points: Tensor, tokens: Tensor) -> Tensor:
        return self.decode(tokens, self.encode(points))

    def features(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, T, V, C) -> what each frame shows (N, T, F), 0 where nothing, and 1 where it shows a point.

        With a trunk: its tokens (see `TrunkTokens`).
        """
        if self.trunk is not None:
            return self.trunk(points)
        joint, seen = self.front.normalised(points)
        frames = self.front.streams(joint, seen).transpose(1, 2).flatten(2)
        shown = seen.amin(dim=-1)
        frames = torch.cat([frames, shown], dim=-1) if self.options.seen else frames
        return frames, shown.amax(dim=-1)

    def encode(self, points: Tensor) -> Memory:
        """Points (N, T, V, C) -> what the decoder reads."""
        return self.encode_features(*self.features(points))

    def encode_features(self, frames: Tensor, shown: Tensor) -> Memory:
        """As `encode`, from `features`."""
        x, keep = self.stem(frames, shown)
        x = self.dropout(x + self.positions[: x.shape[1]])  # type: ignore[index]
        for layer in self.encoder:
            x = layer(x, keep)
        x = self.encoder_norm(x)
        pairs = [layer.memory_attention.pair(x) for layer in self.decoder]  # type: ignore[union-attr, operator]
        keys, values = (torch.stack(parts, dim=1) for parts in zip(*pairs, strict=True))
        return Memory(keys, values, keep)

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Logits (N, L, K) of the sub-word after each of `tokens` (N, L), told all those before it."""
        length = tokens.shape[1]
        causal = torch.ones(length, length, device=tokens.device, dtype=memory.keep.dtype).tril()[None]
        x, nothing = self._embedded(tokens, self.positions[:length]), self.no_past(len(tokens))  # type: ignore[index]
        return self._through(x, (nothing, nothing), memory, causal)[0]

    def no_past(self, count: int) -> Tensor:
        """Keys, and values, of no sub-word: (N, layers, H, 0, d)."""
        o = self.options
        return self.embed.weight.new_zeros(count, o.decoder_layers, o.heads, 0, o.width // o.heads)

    def step(
        self, token: Tensor, position: Tensor, past: tuple[Tensor, Tensor], memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One sub-word (N,) at its position (1,), counted from 0 -> logits (N, K) of the next, keys and values to keep.

        past: keys and values (N, layers, H, P, d) of the sub-words before; (N, layers, H, P + 1, d) come back.
        """
        x = self._embedded(token[:, None], self.positions.index_select(0, position))  # type: ignore[operator]
        everything = torch.ones(1, 1, 1, dtype=memory.keep.dtype, device=token.device)
        logits, (keys, values) = self._through(x, past, memory, everything)
        return logits[:, 0], keys, values

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.dropout(self.embed(tokens) * math.sqrt(self.options.width) + positions)

    def _through(
        self, x: Tensor, past: tuple[Tensor, Tensor], memory: Memory, keep: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The decoder's layers: logits, and keys and values of all sub-words so far."""
        kept = []
        for number, layer in enumerate(self.decoder):
            own = (past[0][:, number], past[1][:, number])
            x, pair = layer(x, own, (memory.keys[:, number], memory.values[:, number]), (keep, memory.keep))
            kept.append(pair)
        keys, values = (torch.stack(parts, dim=1) for parts in zip(*kept, strict=True))
        x = self.decoder_norm(x)
        return (self.score(x, self.embed.weight) if self.options.tied else self.score(x)), (keys, values)


class TiedScore(nn.Module):
    """Scores sub-words by the table that embeds them (Press & Wolf 2017): x (N, L, D), table (K, D) -> (N, L, K)."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(tokens))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return nn.functional.linear(x, table, self.bias)


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) positions: sines, then cosines, of falling frequency (Vaswani et al. 2017, sec. 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class FrameStem(nn.Module):
    """Frames (N, T, F), 0 where nothing is shown, and shown (N, T) 1 or 0 -> tokens (N, S, D) and keep (N, S).

    S is T / stride, rounded up. What follows the last frame counts as zeros, be it padding or the end of the tensor.
    """

    def __init__(self, features: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        if stride == 1:
            self.embed: nn.Module = nn.Linear(features, width)
            self.halve = nn.ModuleList()
            return
        sizes = [features, *([width] * (stride.bit_length() - 1))]
        self.halve = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, stride=2, padding=KERNEL // 2)
            for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.embed = nn.Identity()

    def forward(self, frames: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        x, keep = frames.transpose(1, 2), shown
        for number, half in enumerate(self.halve):
            pair = nn.functional.pad(keep, (0, 1))[:, None, None]  # in two dimensions, which exports with any length
            keep = nn.functional.max_pool2d(pair, (1, 2))[:, 0, 0]
            x = half(nn.functional.gelu(x) if number else x) * keep[:, None]
        return self.embed(x.transpose(1, 2)), keep


class TrunkTokens(nn.Module):
    """Points (N, T, V, C), NaN where missing -> tokens (N, S, F) and keep (N, S), 1 where one's frames show a point.

    The clip is cut into stretches of `frames`, each normalised by itself, as the recogniser was taught; what follows
    the clip's end is missing points, so that padding changes nothing. Batch norms and dropout are as in use, always.
    Raises `UsageError` for a recogniser without stages of LAST blocks.
    """

    def __init__(self, spec: InputSpec, name: str, options: dict[str, Any], *, frames: int) -> None:
        super().__init__()
        model = create_model(name, spec=dataclasses.replace(spec, frames=frames), classes=1, **options)
        if not isinstance(model.body, LastBody):
            raise UsageError(f"{name} has no trunk for a translator", expected="last_e_* or last_lite_*")
        self.front, self.body, self.frames = model.front, model.body, frames
        self.rate = math.prod(model.body.options.strides)
        if frames < self.rate or frames % self.rate:
            raise UsageError("model option trunk_frames", expected=f"a multiple of {self.rate}", got=frames)
        self.width = model.body.options.widths[-1]
        self.body.head = nn.Identity()  # type: ignore[assignment]
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays as in use."""
        return super().train(False)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        streams, keep = self.streams(points)
        return self.tokens(streams, clips=len(points)), keep

    def streams(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Streams of every stretch (N * W, S*C, frames, V), and keep of the tokens that they give."""
        clips, length = points.shape[:2]
        stretches = (length + self.frames - 1) // self.frames
        spare = torch.full_like(points[:, :1], torch.nan).expand(-1, self.frames, -1, -1)
        whole = torch.cat([points, spare], dim=1)[:, : stretches * self.frames]
        shown = (~torch.isnan(whole)).to(points.dtype).amin(dim=-1).amax(dim=-1)
        keep = shown.reshape(clips, -1, self.rate).amax(dim=-1)
        return self.front(whole.reshape(-1, self.frames, *points.shape[2:])), keep

    def tokens(self, streams: Tensor, *, clips: int) -> Tensor:
        """Tokens (N, S, F) of `streams`."""
        maps = self.body.stage_features(streams)[-1]
        return maps.mean(dim=-1).transpose(1, 2).reshape(clips, -1, self.width)


Builder = Callable[..., Sign2Text]


def register_translator(builder: Builder) -> Builder:
    """Put a builder in the table of translators under its own name."""
    TRANSLATORS[builder.__name__] = builder
    return builder


def translator_names() -> tuple[str, ...]:
    """All registered translators, sorted."""
    return tuple(sorted(TRANSLATORS))


def create_translator(name: str, *, spec: InputSpec, tokens: int, **options: Any) -> Sign2Text:
    """Build a translator for an input and a number of sub-words; `options` override the variant's defaults."""
    check_known(name, TRANSLATORS, "translation model")
    return TRANSLATORS[name](spec, tokens, **options)


@register_translator
def sign2text_v4(spec: InputSpec, tokens: int, **options: Any) -> Sign2Text:
    """5,844,896 parameters for 137 flat points with their `seen` flags and 4,000 sub-words."""
    return Sign2Text(spec, tokens, adjust(Options(), options))


class EncoderGraph(nn.Module):
    """Landmarks (N, T, V, C) -> what the decoder reads of them, see `Memory`."""

    def __init__(self, model: Sign2Text) -> None:
        super().__init__()
        self.model = model

    def forward(self, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        memory = self.model.encode(landmarks)
        return memory.keys, memory.values, memory.keep


class DecoderGraph(nn.Module):
    """token (N,), position (1,), keys and values of the sub-words so far, memory -> logits (N, K), keys and values."""

    def __init__(self, model: Sign2Text) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: Tensor, position: Tensor, past_keys: Tensor, past_values: Tensor, memory_keys: Tensor,
        memory_values: Tensor, memory_keep: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        return self.model.step(
            token, position, (past_keys, past_values), Memory(memory_keys, memory_values, memory_keep)
        )
