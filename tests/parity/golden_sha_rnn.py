"""What the author's SHA-RNN computes in float64 from weights and tokens that a formula gives.

Measured once with the modules of his released code, layer norms at full precision, no dropout: V = 11, d = 8, H = 16,
four layers, attention in layer 2, a memory of 8 rows, segments of 5 tokens, batch 2.
"""

import numpy as np

VOCABULARY, WIDTH, BOOM, LAYERS, ATTENTION, MEMORY, TIME, BATCH = 11, 8, 16, 4, 2, 8, 5, 2
OPTIONS = {
    "num_classes": VOCABULARY,
    "width": WIDTH,
    "boom_width": BOOM,
    "num_layers": LAYERS,
    "attention_layers": (ATTENTION,),
    "memory_size": MEMORY,
    "input_dropout": 0.0,
    "hidden_dropout": 0.0,
    "dropout": 0.0,
}

# Each list has one number a segment; every segment carries on the state of the one before it.
LOSSES = [8.670539205360, 3.865317369723, 6.588065650612, 3.125834214343]  # mean over the tokens, nats
HIDDEN_SUMS = [95.8962513184, 90.2911814724, 98.8783636491, 107.3147990643]  # of the decoder's input
HIDDEN_LAST = [0.1338231702, 1.3487537730, 2.4973623623, 1.7783333612]  # its last time, stream 0, channel 0
CELL_SUMS = [-2.9934750005, -5.9319902022, -7.6939520980, -8.0255441699]  # of the last block's c
MEMORY_ROWS = [5, 8, 8, 8]
MEMORY_SUMS = [0.6338209192, -2.6579855702, -3.8279676330, -3.9491541043]
GRADIENT_NORMS = [12.1256538733, 19.5574387171, 43.1957319453, 40.1194302661]  # over all parameters

GRADIENT_NORMS_OF_SEGMENT_2 = {
    "blocks.2.attn.qs": 1.0267860494e-2,
    "blocks.2.attn.ks": 1.1477805862e-2,
    "blocks.2.attn.vs": 1.7853830439,
    "blocks.2.attn.q.weight": 8.0652237975e-2,
    "blocks.2.attn.vq.l1.weight": 5.4577002107,
    "blocks.2.lnmem.weight": 0.84113036807,
    "blocks.2.lnmid.weight": 4.3377965016,
    "blocks.0.rnn.weight_hh_l0": 1.6787648879,
    "blocks.3.ff.linear1.weight": 5.0065457098,
    "encoder.weight": 5.7315824826,
}

# Steps of LAMB on segment 0 from the empty state, learning rate 2e-3, decay 1.2e-6, gradients clipped to 0.25, floor
# 0.25: the losses before each step and after the last, the norms before clipping, the trust ratios.
LAMB_LR, LAMB_DECAY, LAMB_CLIP, LAMB_FLOOR = 2e-3, 1.2e-6, 0.25, 0.25
LAMB_LOSSES = [8.670539205360, 8.169713414084, 7.119600289714, 6.172495097540]
LAMB_NORMS = [12.1256538733, 18.1260457313, 29.2883393393]
LAMB_RATIOS = {
    "blocks.2.attn.qs": [1.36730963, 0.44674915, 0.29065784],
    "blocks.2.lnmem.weight": [0.43013178, 0.3936928, 0.30086877],
    "blocks.2.attn.qln.weight": [0.92205239, 0.42842666, 0.30718181],
    "encoder.weight": [0.25, 0.25, 0.25],
    "decoder.bias": [0.25, 0.25, 0.25],
}


def weights() -> dict[str, np.ndarray]:
    """All 85 arrays of the author's state dict by his names, those that his forward pass never reads among them."""
    return {name: _array(name, position, shape) for position, (name, shape) in enumerate(sorted(_shapes().items()))}


def is_unused(name: str) -> bool:
    """Whether the author's forward pass never reads the array."""
    block, _, weight = name.removeprefix("blocks.").partition(".")
    without_attention = block != str(ATTENTION) and weight.startswith(("lnmem", "lnmid"))
    return without_attention or weight.startswith("lnout") or weight in ("attn.qkvs", "attn.r_gate")


def segment(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and targets, int64 [batch, time] each."""
    time, stream = np.arange(TIME * number, TIME * (number + 1) + 1), np.arange(BATCH)[:, None]
    tokens = (3 * time**2 + 2 * time + 5 * stream) % VOCABULARY
    return tokens[:, :-1], tokens[:, 1:]


def _array(name: str, position: int, shape: tuple[int, ...]) -> np.ndarray:
    index = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    wave = np.sin(1 + 0.7 * position + 2.1 * index + 0.37 * index**2)
    module, _, weight = name.rpartition(".")
    is_norm = module.rpartition(".")[2] in ("lnff", "lnmem", "lnmid", "lnout", "lnstart", "lnxff", "qln")
    if is_norm:
        return 0.3 * wave + (1 if weight == "weight" else 0)
    return wave


def _shapes() -> dict[str, tuple[int, ...]]:
    d = WIDTH
    shapes: dict[str, tuple[int, ...]] = {"encoder.weight": (VOCABULARY, d), "decoder.bias": (VOCABULARY,)}
    for i in range(LAYERS):
        block = f"blocks.{i}"
        for norm in ("lnff", "lnmem", "lnmid", "lnout", "lnstart", "lnxff"):
            shapes |= {f"{block}.{norm}.weight": (d,), f"{block}.{norm}.bias": (d,)}
        shapes |= {f"{block}.rnn.{weight}_l0": (4 * d, d) for weight in ("weight_ih", "weight_hh")}
        shapes |= {f"{block}.rnn.{bias}_l0": (4 * d,) for bias in ("bias_ih", "bias_hh")}
        shapes |= {f"{block}.ff.linear1.weight": (BOOM, d), f"{block}.ff.linear1.bias": (BOOM,)}
    attention = f"blocks.{ATTENTION}.attn"
    shapes |= {f"{attention}.{gate}": (1, 1, d) for gate in ("qs", "ks", "vs", "r_gate")}
    shapes |= {f"{attention}.qkvs": (1, 3, d), f"{attention}.q.weight": (d, d), f"{attention}.q.bias": (d,)}
    shapes |= {f"{attention}.qln.weight": (d,), f"{attention}.qln.bias": (d,)}
    shapes |= {f"{attention}.vq.l1.weight": (2 * d, d), f"{attention}.vq.l1.bias": (2 * d,)}
    return shapes
