"""The encoder written out for export: embeddings in, token states out, with nothing that a tracer stumbles over.

Takes the weights of a BERT model and computes what it computes (a test compares them). Query, key and value are one matrix.
The word and position embeddings are left out, because the serving engine adds them and shares them between graphs; pooling
and head are left out, because they cost nothing in float32 and are where calibration and evidence come from. Several texts may
lie end to end: a token sees those with the same segment number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.training.network import Classifier

__all__ = ["ExportGraph"]

#: Added to the attention scores of tokens of other texts; far below anything a model computes, and safe in bf16.
_UNSEEN = -10_000.0


class _Layer(nn.Module):
    def __init__(self, layer: nn.Module, heads: int) -> None:
        super().__init__()
        attention = layer.attention.self
        self.heads = heads
        size = attention.query.weight.shape[0]
        self.mix = nn.Linear(size, 3 * size)
        self.mix.weight.data = torch.cat(
            [attention.query.weight, attention.key.weight, attention.value.weight]
        ).detach()
        self.mix.bias.data = torch.cat([attention.query.bias, attention.key.bias, attention.value.bias]).detach()
        self.join = layer.attention.output.dense
        self.norm = layer.attention.output.LayerNorm
        self.widen = layer.intermediate.dense
        self.narrow = layer.output.dense
        self.last_norm = layer.output.LayerNorm

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        batch, width, size = states.shape
        mixed = self.mix(states).view(batch, width, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2], attn_mask=bias)
        states = self.norm(states + self.join(seen.transpose(1, 2).reshape(batch, width, size)))
        result: Tensor = self.last_norm(states + self.narrow(functional.gelu(self.widen(states))))
        return result


class ExportGraph(nn.Module):
    """`forward(embeddings (1, n, d), segments (1, n)) -> states (1, n, d)`, in evaluation mode."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        encoder = model.encoder
        self.norm = encoder.embeddings.LayerNorm
        self.layers = nn.ModuleList(_Layer(x, encoder.config.num_attention_heads) for x in encoder.encoder.layer)

    def forward(self, embeddings: Tensor, segments: Tensor) -> Tensor:
        states = self.norm(embeddings)
        bias = torch.where(segments[:, :, None] == segments[:, None, :], 0.0, _UNSEEN)[:, None]
        for layer in self.layers:
            states = layer(states, bias)
        result: Tensor = states
        return result
