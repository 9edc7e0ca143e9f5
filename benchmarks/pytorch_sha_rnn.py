"""SHA-RNN (Merity 2019, arXiv 1911.11423) in plain PyTorch: what our network is compared with, in numbers and in speed.

Written from the mathematics of the author's released code, for speed on a CPU. Its parameters have the author's names;
those that his forward pass never reads are left out. Tensors are time-major, as PyTorch's LSTM prefers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-12  # of every layer norm
Hidden = list[tuple[Tensor, Tensor]]  # a block's h and c, [1, batch, width] each
Memory = dict[int, Tensor]  # attention block -> rows [rows, batch, width], oldest first


class Boom(nn.Module):
    """Widens to `hidden`, GELU, sum of the contiguous chunks of `width`; a remainder is cut off."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        z = self.linear1(x)
        z = F.silu(1.702 * z) / 1.702  # = z * sigmoid(1.702 z), with a fused backward pass
        z = F.dropout(z, self.dropout, self.training)
        chunks = z.shape[-1] // width
        return z[..., : chunks * width].unflatten(-1, (chunks, width)).sum(-2)


class Overparam(nn.Module):
    """The matrix behind the value gate."""

    def __init__(self, width: int):
        super().__init__()
        self.l1 = nn.Linear(width, 2 * width)

    def forward(self, gate: Tensor) -> Tensor:
        c, f = self.l1(gate.sigmoid()).chunk(2, -1)
        return f.sigmoid() * c.tanh()


class Attention(nn.Module):
    """One head over rows that serve as keys and as values, through gates that are constant over time and batch."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.qs, self.ks, self.vs = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(3))
        self.q = nn.Linear(width, width)
        self.qln = nn.LayerNorm(width, eps=EPSILON)
        self.vq = Overparam(width)
        self.dropout = dropout

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """x: [time, batch, width], rows: [keys, batch, width], of which the last `time` are x's own."""
        query = F.dropout(self.qs.sigmoid() * self.qln(self.q(x)), self.dropout, self.training)
        query = query * self.ks.sigmoid()  # the keys' gate, on the shorter side of the product
        values = F.dropout(rows, self.dropout, self.training)
        mask = torch.ones(len(x), len(rows), dtype=torch.bool, device=x.device).tril(len(rows) - len(x))
        query, keys, values = (tensor.transpose(0, 1).unsqueeze(1) for tensor in (query, rows, values))
        mixed = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        # The values' gate is constant over keys, so it may stand behind the sum over them.
        return F.dropout(self.vq(self.vs) * mixed.squeeze(1).transpose(0, 1), self.dropout, self.training)


class Block(nn.Module):
    """LSTM, attention where there is one, Boom where there is one."""

    def __init__(self, width: int, boom_width: int, has_attention: bool, memory_size: int, dropout: float):
        super().__init__()
        self.lnstart = nn.LayerNorm(width, eps=EPSILON)
        self.rnn = nn.LSTM(width, width)
        self.attn = self.ff = None
        if has_attention:
            self.lnmem, self.lnmid = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
            self.attn = Attention(width, dropout)
        if boom_width:
            self.lnff, self.lnxff = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
            self.ff = Boom(width, boom_width, dropout)
        self.memory_size = memory_size
        self.dropout = dropout

    def forward(
        self, x: Tensor, hidden: tuple[Tensor, Tensor], memory: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]:
        """Takes x [time, batch, width]; returns as much, and the new hidden and memory (None without attention)."""
        x, hidden = self.rnn(self.lnstart(x), hidden)
        x = F.dropout(x, self.dropout, self.training)
        if self.attn is not None:
            kept = min(len(memory), max(self.memory_size - len(x), 0))
            rows = torch.cat([memory[len(memory) - kept :], self.lnmem(x)])
            memory = rows[-self.memory_size :]
            x = self.lnmid(x)
            x = x + self.attn(x, rows)
        if self.ff is not None:
            x = self.lnff(x) + F.dropout(self.ff(self.lnxff(x)), self.dropout, self.training)
        return x, hidden, memory


class ShaRnn(nn.Module):
    """The language model: tokens [time, batch] to logits of the next token [time, batch, num_classes].

    `boom_width` 0 leaves out the Boom layers. Starts as the author's model does.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 1024,
        boom_width: int = 4096,
        num_layers: int = 4,
        attention_layers: Sequence[int] = (2,),
        memory_size: int = 5000,
        input_dropout: float = 0.1,
        hidden_dropout: float = 0.1,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = nn.Embedding(num_classes, width)
        self.blocks = nn.ModuleList(
            Block(width, boom_width, i in attention_layers, memory_size, hidden_dropout) for i in range(num_layers)
        )
        self.decoder = nn.Linear(width, num_classes)
        self.decoder.weight = self.encoder.weight
        self.input_dropout, self.dropout = input_dropout, dropout
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.1 / math.sqrt(width))
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def empty_state(self, batch: int) -> tuple[Hidden, Memory]:
        """The state before the first token: zeros, and memories without rows."""
        zeros = self.encoder.weight.new_zeros(1, batch, self.encoder.embedding_dim)
        memory = {i: zeros[:0] for i, block in enumerate(self.blocks) if block.attn is not None}
        return [(zeros, zeros)] * len(self.blocks), memory

    def forward(self, tokens: Tensor, hidden: Hidden, memory: Memory) -> tuple[Tensor, Tensor, Hidden, Memory]:
        """Returns logits, the decoder's input [time, batch, width], and the new state, which carries no gradient."""
        x = F.dropout(self.encoder(tokens), self.input_dropout, self.training)
        new_hidden: Hidden = []
        new_memory: Memory = {}
        for i, block in enumerate(self.blocks):
            x, (h, c), rows = block(x, hidden[i], memory.get(i))
            new_hidden.append((h.detach(), c.detach()))
            if rows is not None:
                new_memory[i] = rows.detach()
        x = F.dropout(x, self.dropout, self.training)
        return self.decoder(x), x, new_hidden, new_memory


class Lamb:
    """LAMB with a floor on its trust ratio, as the author trained with: no bias correction, decay on every tensor."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 2e-3,
        weight_decay: float = 1.2e-6,
        min_trust: float = 0.25,
    ):
        self.parameters = list(parameters)
        self.means, self.squares = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.lr, self.weight_decay, self.min_trust = lr, weight_decay, min_trust

    @torch.no_grad()
    def step(self, max_norm: float = 0.25) -> float:
        """Scales all gradients down to a common norm of `max_norm`, updates, and returns the norm they had."""
        norm = nn.utils.clip_grad_norm_(self.parameters, max_norm)  # by max_norm / (norm + 1e-6) if below 1
        with_gradient = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        weights, means, squares = (
            [tensors[i] for i in with_gradient] for tensors in (self.parameters, self.means, self.squares)
        )
        gradients = [weight.grad for weight in weights]
        torch._foreach_mul_(means, 0.9)
        torch._foreach_add_(means, gradients, alpha=0.1)
        torch._foreach_mul_(squares, 0.999)
        torch._foreach_addcmul_(squares, gradients, gradients, value=0.001)
        updates = torch._foreach_sqrt(squares)
        torch._foreach_add_(updates, 1e-6)
        updates = torch._foreach_div(means, updates)
        torch._foreach_add_(updates, weights, alpha=self.weight_decay)
        weight_norms = torch.stack(torch._foreach_norm(weights)).clamp(max=10)
        update_norms = torch.stack(torch._foreach_norm(updates))
        ratios = torch.where((weight_norms == 0) | (update_norms == 0), 1, weight_norms / update_norms)
        torch._foreach_mul_(updates, (-self.lr * ratios.clamp(min=self.min_trust)).tolist())
        torch._foreach_add_(weights, updates)
        return norm.item()


def split_softmax_loss(
    hidden: Tensor,
    targets: Tensor,
    weight: Tensor,
    bias: Tensor,
    tombstones: Tensor,
    tombstone_bias: Tensor,
    splits: Sequence[int],
) -> Tensor:
    """Cross-entropy in nats of a vocabulary sorted by frequency, whose rare words stand in groups.

    p(w) is the head's softmax for ids below splits[0]; for id w in group k = 1..K, which is splits[k - 1] <= w <
    splits[k], it is p(tombstone K - k) in the head's softmax times the softmax inside the group.

    Args:
        hidden: [tokens, width].
        targets: [tokens], ids.
        weight, bias: the decoder's, [vocabulary, width] and [vocabulary].
        tombstones, tombstone_bias: [K, width] and [K].
        splits: the first id of each group, rising; K of them.

    Returns:
        The loss of each token, [tokens].
    """
    first = splits[0]
    head = F.linear(hidden, torch.cat([weight[:first], tombstones]), torch.cat([bias[:first], tombstone_bias]))
    group = torch.bucketize(targets, torch.tensor(splits, device=targets.device), right=True)
    losses = F.cross_entropy(head, torch.where(group == 0, targets, first + len(splits) - group), reduction="none")
    for k, (start, end) in enumerate(zip(splits, [*splits[1:], len(weight)]), start=1):
        members = (group == k).nonzero().squeeze(1)
        logits = F.linear(hidden[members], weight[start:end], bias[start:end])
        inside = F.cross_entropy(logits, targets[members] - start, reduction="none")
        losses = losses.index_add(0, members, inside)
    return losses
