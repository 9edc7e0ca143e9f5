"""Pairs of sentences: which are used, in what subwords, in what batches they come."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from flags.errors import UserError
from tests.trainers.opening import open_pairs
from trainers.tasks.translation import data as translation
from trainers.tasks.translation import token_batches, vocabulary
from trainers.tasks.translation.data import Pairs
from trainers.tasks.translation.vocabulary import BEGIN, END, PADDING, UNKNOWN, Subwords

TOKENS = 128
SIZE = 60  # of the vocabulary: all 52 letters come in, and few words are whole


@pytest.fixture(scope="module")
def data():
    return translation.open_synthetic(seed=0, num_train=300, num_test=20)


@pytest.fixture(scope="module")
def pairs(data):
    return data.pairs("train")


@pytest.fixture(scope="module")
def subwords(pairs):
    return vocabulary.learn((*pairs.source, *pairs.target), SIZE)


@pytest.fixture(scope="module")
def encoded(pairs, subwords):
    return token_batches.encode(pairs, subwords)


def per_replica(stream_of, replicas=1, pipelines=1, count=None):
    """What each replica gets, as lists of dicts; `stream_of` makes the batches of an input pipeline."""
    own = replicas // pipelines
    result = []
    for pipeline in range(pipelines):
        stream = stream_of(tf.distribute.InputContext(pipelines, pipeline, replicas))
        got = list(stream.take(-1 if count is None else count * own).as_numpy_iterator())
        result += [got[replica::own] for replica in range(own)]
    return result


def training(encoded, count, *, seed=0, first_step=0, tokens=TOKENS, **replicas):
    def stream_of(context):
        return token_batches.training_batches(encoded, tokens=tokens, seed=seed, first_step=first_step, context=context)

    return per_replica(stream_of, count=count, **replicas)


def evaluation(encoded, tokens=TOKENS, **replicas):
    def stream_of(context):
        return token_batches.evaluation_batches(encoded, tokens=tokens, context=context)

    return per_replica(stream_of, **replicas)


def rows(batch):
    """The pairs of a batch as ids without padding, and without rows that are all padding."""
    sides = ([tuple(row[row != PADDING].tolist()) for row in batch[name]] for name in ("source", "labels"))
    return [pair for pair in zip(*sides) if any(pair)]


def everything(encoded):
    """All pairs as `rows` gives them."""
    return [(tuple(s), tuple(t[1:])) for s, t in zip(encoded.source.to_list(), encoded.target.to_list())]


def equal(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


# Subsets


def test_without_a_number_all_pairs_come_in_file_order(data):
    whole = data.pairs("train")
    parts = [data.pairs("train[:100]"), data.pairs("train[100:]")]
    assert len(whole.source) == 300
    assert whole == Pairs(*(first + second for first, second in zip(*parts)))


def test_a_subset_has_no_pair_twice_and_keeps_translations_beside_their_sources(data, pairs):
    used = data.pairs("train", num_train=200, subset_seed=1)
    drawn, there = (list(zip(*side)) for side in (used, pairs))
    assert len(drawn) == 200
    assert collections.Counter(drawn) <= collections.Counter(there)  # a few made-up sentences occur twice
    assert drawn != [pair for pair in there if pair in drawn][:200]


def test_a_smaller_subset_is_the_beginning_of_a_larger_one(data):
    small, large = (data.pairs("train", num_train=count, subset_seed=1) for count in (50, 200))
    assert small == Pairs(*(side[:50] for side in large))


def test_another_seed_draws_another_subset(data):
    assert data.pairs("train", num_train=50, subset_seed=1) != data.pairs("train", num_train=50, subset_seed=2)


def test_pairs_are_read_across_blocks(data, monkeypatch):
    expected = data.pairs("train", num_train=40)
    monkeypatch.setattr(translation, "BLOCK", 7)
    assert data.pairs("train", num_train=40) == expected


def test_a_subset_larger_than_the_split_is_refused(data):
    with pytest.raises(UserError, match="data.num_train=301: data.train_split=train of synthetic_pairs has 300 pairs"):
        data.pairs("train", num_train=301)


def test_an_unknown_split_is_refused_with_those_there_are(data):
    with pytest.raises(UserError, match=r"dev.*train \(300\), validation \(20\), test \(20\)"):
        data.pairs("dev")


def test_a_data_set_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="data.name=digits: not a translation data set.* iwslt14_de_en, django_de_en"):
        open_pairs("digits", tmp_path)


def test_a_made_up_translation_has_a_word_for_each_in_reverse_order(pairs):
    source, target = ([line.split() for line in side] for side in pairs)
    words = {}
    for sentence, translated in zip(source, target):
        assert len(sentence) == len(translated)
        for one, other in zip(sentence, reversed(translated)):
            assert words.setdefault(one, other) == other


# Subwords


def test_training_texts_come_back_whole(pairs, subwords):
    for side in pairs:
        assert [subwords.decode(ids) for ids in subwords.encode(side)] == list(side)


def test_both_languages_share_subwords_that_are_learnt_from_them(pairs, subwords):
    ids = [set(itertools.chain.from_iterable(subwords.encode(side))) for side in pairs]
    assert ids[0] & ids[1]
    assert ids[0] | ids[1] <= set(range(UNKNOWN + 1, SIZE))


def test_special_ids_are_no_text(subwords):
    (ids,) = subwords.encode(["a"])
    assert (PADDING, BEGIN, END, UNKNOWN) == (0, 1, 2, 3)
    assert subwords.decode([BEGIN, *ids, END, *ids, PADDING]) == "a"
    assert subwords.decode([]) == ""


def test_a_new_character_is_unknown(subwords):
    (ids,) = subwords.encode(["漢"])
    assert UNKNOWN in ids


def test_blanks_and_line_breaks_count_as_one_blank(subwords):
    one, other = subwords.encode(["ab cd", " ab\n\tcd "])
    assert one == other
    assert subwords.decode(one) == "ab cd"


def test_the_same_texts_give_the_same_vocabulary_and_its_bytes_give_it_back(pairs, subwords):
    again = vocabulary.learn((*pairs.source, *pairs.target), SIZE)
    assert again.model == subwords.model
    rebuilt = Subwords(subwords.model)
    assert len(rebuilt) == SIZE
    assert rebuilt.encode(pairs.source) == subwords.encode(pairs.source)


def test_small_texts_give_a_smaller_vocabulary():
    assert len(vocabulary.learn(["ab ab cd"], 1000)) < 20


def test_a_vocabulary_has_room_for_every_character():
    texts = ["abc", "déf"]
    assert len(vocabulary.learn(texts, 11)) == 11  # 6 letters, the blank, 4 special ids
    with pytest.raises(UserError, match="data.vocabulary=10: .* 7 different characters. Set at least 11"):
        vocabulary.learn(texts, 10)


@pytest.mark.parametrize("model", [b"", b"no vocabulary"])
def test_a_damaged_vocabulary_is_refused(model):
    with pytest.raises(ValueError, match="damaged"):
        Subwords(model)


# Encoding


def test_sources_end_and_targets_begin_and_end(pairs, subwords, encoded):
    (source,), (target,) = subwords.encode(pairs.source[:1]), subwords.encode(pairs.target[:1])
    assert encoded.source[0].numpy().tolist() == [*source, END]
    assert encoded.target[0].numpy().tolist() == [BEGIN, *target, END]


def test_texts_outside_a_data_set_are_encoded_as_sources_are(pairs, subwords, encoded):
    padded = token_batches.padded_sources(list(pairs.source[:5]), subwords)
    assert padded.dtype == np.int32
    assert np.array_equal(padded, encoded.source[:5].to_tensor())


def test_pairs_that_are_too_long_are_left_out_and_counted(pairs, subwords):
    longest = [max(map(len, pair)) for pair in zip(*map(subwords.encode, pairs))]
    limit = sorted(longest)[200]
    kept = token_batches.encode(pairs, subwords, max_length=limit)
    assert len(kept) == sum(length <= limit for length in longest) < 300
    assert len(kept) + kept.num_left_out == 300
    assert kept.lengths.max() == limit + 1


def test_a_limit_that_leaves_nothing_is_refused(pairs, subwords):
    with pytest.raises(UserError, match="data.max_length=1: all 300 pairs have more subwords"):
        token_batches.encode(pairs, subwords, max_length=1)


# Training batches


def steps(encoded):
    return token_batches.steps_per_epoch(encoded, tokens=TOKENS)


def test_every_epoch_has_every_pair_once(encoded):
    count = steps(encoded)
    (got,) = training(encoded, 2 * count)
    for epoch in (got[:count], got[count:]):
        assert sorted(itertools.chain.from_iterable(map(rows, epoch))) == sorted(everything(encoded))


def test_no_batch_costs_more_than_asked(encoded):
    (got,) = training(encoded, steps(encoded))
    for batch in got:
        assert len(batch["source"]) * max(batch["source"].shape[1], batch["labels"].shape[1]) <= TOKENS


def test_batches_hold_little_padding(encoded):
    (got,) = training(encoded, steps(encoded))
    filled = sum(np.count_nonzero(batch["labels"]) for batch in got)
    assert filled > 0.8 * sum(batch["labels"].size for batch in got)


def test_the_decoder_reads_what_came_before_each_label(encoded):
    (got,) = training(encoded, steps(encoded))
    for batch in got:
        assert {batch[name].dtype for name in ("source", "target", "labels")} == {np.dtype(np.int32)}
        for read, labels in zip(batch["target"], batch["labels"]):
            length = np.count_nonzero(labels)
            assert labels[length - 1] == END
            assert read[:length].tolist() == [BEGIN, *labels[: length - 1]]
            assert not read[length:].any() and not labels[length:].any()


def test_epochs_and_seeds_differ_in_order_and_in_company(encoded):
    count = steps(encoded)
    (got,) = training(encoded, 2 * count)
    (other,) = training(encoded, count, seed=1)
    epochs = [[frozenset(rows(batch)) for batch in epoch] for epoch in (got[:count], got[count:], other)]
    for one, another in itertools.combinations(epochs, 2):
        assert one != another
        assert set(one) != set(another)


def test_batches_of_an_epoch_are_not_in_order_of_length(encoded):
    (got,) = training(encoded, steps(encoded))
    widths = [batch["source"].shape[1] for batch in got]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_a_run_goes_on_at_any_step_as_if_unbroken(encoded):
    count = steps(encoded)
    (unbroken,) = training(encoded, 2 * count + 2)
    for first in (1, count - 1, count, count + 3, 2 * count):
        (resumed,) = training(encoded, 2, first_step=first)
        assert all(map(equal, resumed, unbroken[first:]))


@pytest.mark.parametrize("replicas, pipelines", [(2, 1), (3, 1), (4, 2)])
def test_replicas_share_the_batches_that_one_would_see(encoded, replicas, pipelines):
    count = steps(encoded)
    (alone,) = training(encoded, count)
    shared = training(encoded, count, replicas=replicas, pipelines=pipelines)
    for step, whole in enumerate(alone):
        parts = [replica[step] for replica in shared]
        assert len({tuple(part[name].shape for name in sorted(part)) for part in parts}) == 1
        assert list(itertools.chain.from_iterable(map(rows, parts))) == rows(whole)
        assert len(parts[0]["source"]) == -(-len(whole["source"]) // replicas)


def test_a_strategy_deals_the_batches_out(encoded, two_replicas):
    (alone,) = training(encoded, 3)

    def stream_of(context):
        return token_batches.training_batches(encoded, tokens=TOKENS, seed=0, first_step=0, context=context)

    dealt = iter(two_replicas.distribute_datasets_from_function(stream_of))
    for whole in alone:
        parts = two_replicas.experimental_local_results(next(dealt)["labels"])
        together = np.concatenate([part.numpy() for part in parts])
        assert np.array_equal(together[: len(whole["labels"])], whole["labels"])
        assert not together[len(whole["labels"]) :].any()


@pytest.mark.parametrize("replicas", [1, 2])
def test_every_row_says_how_many_labels_the_whole_step_has(encoded, replicas):
    for parts in zip(*training(encoded, 5, replicas=replicas)):
        labels = sum(np.count_nonzero(part["labels"]) for part in parts)
        for part in parts:
            assert part["tokens"].dtype == np.float32
            assert part["tokens"].tolist() == [labels] * len(part["labels"])


def test_a_pair_that_fits_into_no_batch_is_refused(encoded):
    longest = encoded.lengths.max()
    assert token_batches.steps_per_epoch(encoded, tokens=int(longest)) > 0
    with pytest.raises(UserError, match=f"train.global_batch={longest - 1}: the longest .* has {longest} subwords"):
        token_batches.steps_per_epoch(encoded, tokens=int(longest) - 1)


# Evaluation batches


@pytest.mark.parametrize("replicas, pipelines", [(1, 1), (2, 1), (4, 2)])
def test_evaluation_has_every_pair_once_in_order(encoded, replicas, pipelines):
    got = evaluation(encoded, replicas=replicas, pipelines=pipelines)
    in_order = [batch for step in zip(*got) for batch in step]
    assert list(itertools.chain.from_iterable(map(rows, in_order))) == everything(encoded)
    for batch in in_order:
        assert batch["weight"].tolist() == batch["labels"].any(axis=1).astype(float).tolist()


def test_evaluation_is_as_long_as_it_says_and_no_batch_costs_more_than_asked(encoded):
    context = tf.distribute.InputContext(1, 0, 1)
    stream = token_batches.evaluation_batches(encoded, tokens=TOKENS, context=context)
    got = list(stream.as_numpy_iterator())
    assert len(stream) == len(got)
    for batch in got:
        assert len(batch["source"]) * max(batch["source"].shape[1], batch["labels"].shape[1]) <= TOKENS


def test_evaluation_leaves_no_pair_out_however_long(encoded):
    (got,) = evaluation(encoded, tokens=5)
    assert list(itertools.chain.from_iterable(map(rows, got))) == everything(encoded)
    assert all(len(batch["source"]) == 1 for batch in got if batch["source"].shape[1] > 5)


def test_the_labels_of_all_pairs_are_counted(encoded):
    (got,) = evaluation(encoded)
    assert encoded.num_target_tokens == sum(np.count_nonzero(batch["labels"]) for batch in got)
