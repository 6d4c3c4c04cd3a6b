"""The edge form of a pose transformer: one convolution as its door, tokens as maps, constants in place of shapes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from last_edge.models.layers.attention import MASKED, EncoderLayer
from last_edge.models.layers.folding import linear
from last_edge.models.pose_transformer import PoseTransformerBody


class EdgeEncoderLayer(nn.Module):
    """`EncoderLayer` on tokens (N, 1, L, D) with what is added to the scores, (N, 1, 1, L)."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        attention = layer.attention
        self.heads = attention.heads
        shrink = 1 / math.sqrt(attention.query.in_features // attention.heads)
        self.query = linear(attention.query.weight * shrink, attention.query.bias * shrink)
        self.key, self.value, self.out = attention.key, attention.value, attention.out
        self.attention_norm, self.norm = layer.attention_norm, layer.norm
        self.expand, self.project = layer.expand, layer.project

    def forward(self, x: Tensor, masking: Tensor) -> Tensor:
        """See the class."""
        query, key, value = (self._by_head(part(x)) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(-1, -2) + masking, dim=-1)
        read = (weights @ value).transpose(1, 2).flatten(2).unsqueeze(1)
        x = self.attention_norm(self.out(read) + x)
        return self.norm(self.project(nn.functional.gelu(self.expand(x))) + x)  # type: ignore[no-any-return]

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, 1, L, D) -> (N, H, L, D/H)."""
        return torch.unflatten(x.squeeze(1), -1, (self.heads, -1)).transpose(1, 2)


class EdgePoseTransformer(nn.Module):
    """Streams (N, S*C, T, V) -> logits (N, K).

    The class token is a frame of zeros before the others: what the embedding makes of it is in the table of positions.
    One channel of the embedding passes on whether a frame shows a point, so that all behind the door follows from it.
    """

    table: Tensor
    masked: Tensor

    def __init__(self, body: PoseTransformerBody) -> None:
        super().__init__()
        width = body.embed.out_features
        self.features = body.features
        self.embed = nn.Conv2d(body.features.width + 1, width + 1, 1)
        assert self.embed.bias is not None
        self.embed.weight.data = nn.functional.pad(body.embed.weight, (0, 1, 0, 1))[..., None, None]
        self.embed.weight.data[-1, -1] = 1
        self.embed.bias.data = nn.functional.pad(body.embed.bias, (0, 1))
        table = body.positions.clone()
        table[0] += body.cls - body.embed.bias
        self.register_buffer("table", table)
        masked = torch.full((len(table),), MASKED, dtype=table.dtype)
        masked[0] = 0
        self.register_buffer("masked", masked)
        self.norm, self.head = body.norm, body.head.fc
        self.layers = nn.ModuleList(EdgeEncoderLayer(layer) for layer in body.encoder_layers())

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        frames, seen = self.features(streams)
        padded = nn.functional.pad(torch.cat([frames, seen[..., None]], dim=-1), (0, 0, 1, 0))
        made = self.embed(padded.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)[:, None]
        x, shown = made[..., :-1], made[..., -1]
        x, masking = self.norm(x + self.table), ((1 - shown) * self.masked)[:, :, None]
        for layer in self.layers:
            x = layer(x, masking)
        return self.head(x[:, 0, 0])  # type: ignore[no-any-return]
