"""Shared subwords of two languages: byte pair encoding (Sennrich et al. 2016), learnt by SentencePiece."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import sentencepiece

from flags.errors import require

PADDING, BEGIN, END, UNKNOWN = range(4)  # the first ids
BLANK = "▁"  # SentencePiece's symbol for a space, which also precedes every text
LONGEST = 1 << 20  # bytes: by default SentencePiece ignores texts of more than 4,192


class Subwords:
    """Splits texts into subwords, and joins them again.

    Runs of spaces count as one, leading and trailing spaces are dropped; otherwise `decode` restores a text if all of
    its characters occur in the training texts; others become "⁇".

    Args:
        model: the bytes of a SentencePiece model, as built by `learn`.

    Raises:
        ValueError: `model` is damaged.
    """

    def __init__(self, model: bytes):
        self.model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError("the vocabulary is damaged: SentencePiece cannot read it") from error
        if len(self) <= UNKNOWN:
            raise ValueError("the vocabulary is damaged: it is empty")

    def __len__(self) -> int:
        """The number of ids, including the four special ones."""
        return self._processor.get_piece_size()

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, without `BEGIN` and `END`."""
        return self._processor.encode([_one_line(text) for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids up to the first `END`; `BEGIN` and `PADDING` are ignored."""
        ids = [int(index) for index in ids]
        return self._processor.decode(ids[: ids.index(END)] if END in ids else ids)


def learn(texts: Iterable[str], size: int) -> Subwords:
    """Learns the subwords of texts: their characters, and the most frequent character sequences within words.

    Small texts may give fewer than `size`. The result is deterministic, to the byte.

    Args:
        size: maximum number of ids.

    Raises:
        UserError: `size` is less than the number of different characters plus the four special ids.
    """
    texts = [_one_line(text) for text in texts]
    characters = set("".join(texts)) - {" "} | {BLANK}
    least = len(characters) + UNKNOWN + 1
    require(
        size >= least,
        f"data.vocabulary={size}: the training texts have {len(characters)} different characters. Set at least {least}",
    )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=LONGEST,
        pad_id=PADDING,
        bos_id=BEGIN,
        eos_id=END,
        unk_id=UNKNOWN,
        minloglevel=2,  # errors
    )
    return Subwords(model.getvalue())


def _one_line(text: str) -> str:
    return " ".join(text.split())
