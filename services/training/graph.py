"""The encoder written out for export: embeddings in, logits out, with nothing that a tracer stumbles over.

Takes the weights of a BERT model and computes what it computes (a test compares them). Query, key and value are one matrix;
the word-embedding lookup is left out, because the serving engine does it outside the graph and shares it between graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.training.network import Classifier

__all__ = ["ExportGraph"]


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
    """`forward(embeddings (b, w, d), mask (b, w) of 0 and 1) -> logits (b, labels)`, in evaluation mode."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        encoder = model.encoder
        embeddings = encoder.embeddings
        # Position and segment vectors are added in the graph: one constant.
        self.positions = nn.Parameter(
            (embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).detach().clone()
        )
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList(_Layer(x, encoder.config.num_attention_heads) for x in encoder.encoder.layer)
        self.head = model.head

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        states = self.norm(embeddings + self.positions[: embeddings.shape[1]])
        bias = ((mask - 1.0) * 10_000.0)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, bias)
        weights = mask.unsqueeze(-1)
        logits: Tensor = self.head((states * weights).sum(1) / weights.sum(1))
        return logits
