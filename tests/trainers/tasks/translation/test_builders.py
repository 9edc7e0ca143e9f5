"""Pairs of sentences are prepared from IWSLT's archive, from WMT or from a package's catalogues, or not at all."""

import io
import pathlib
import sys
import tarfile

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from flags.errors import UserError
from tests.trainers.opening import open_pairs
from trainers.data import damage
from trainers.data.builders import django_catalogues, iwslt14
from trainers.data.builders.iwslt14 import Iwslt14DeEn
from trainers.data.sources import DataNotPrepared, Source

SPLITS = ("train", "validation", "test")


def talk(title, sentences):
    """A talk as it stands in a training file."""
    heads = ("<url>http://www.ted.com/talks/1</url>", "<keywords>talks, children</keywords>", "<talkid>1</talkid>")
    return [*heads, f"<title>{title}</title>", f"<description>About {title}</description>", *sentences]


def xml(name, language, sentences):
    segments = [f'<seg id="{number}"> {sentence} </seg>' for number, sentence in enumerate(sentences, 1)]
    head = ['<?xml version="1.0" encoding="UTF-8"?>', "<mteval>", f'<srcset setid="{name}" srclang="{language}">']
    return [*head, '<doc docid="1" genre="lectures">', *segments, "</doc>", "</srcset>", "</mteval>"]


def published(german, english):
    """The files of the archive: training sentences as given, and two sentences in every file of the test split."""
    files = {iwslt14.TRAIN[0]: talk("Zwei Worte", german), iwslt14.TRAIN[1]: talk("Two Words", english)}
    for part in iwslt14.TEST:
        for language, file in zip(("de", "en"), part):
            name = file.split(".")[2]
            files[file] = xml(name, language, [f"{language} {name} R&amp;D", f"{language}’s Second"])
    return {file: "".join(f"{line}\n" for line in lines).encode() for file, lines in files.items()}


def packed(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(file)
            archive.addfile(member, io.BytesIO(file))
    return content.getvalue()


GERMAN = [f"Der Satz {number}." for number in range(1, 49)]
ENGLISH = [f"The sentence {number}." for number in range(1, 49)]


@pytest.fixture
def manual(tmp_path):
    """TFDS's manual folder."""
    folder = tmp_path / "downloads" / "manual"
    folder.mkdir(parents=True)
    return folder


def prepared(folder, name="iwslt14_de_en"):
    Source(name, folder).prepare()
    data = open_pairs(name, folder)
    return {split: list(zip(*data.pairs(split))) for split in SPLITS}


def message(error):
    """The text of a caught UserError, which must be one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


# IWSLT'14


@pytest.mark.parametrize("unpacked", [False, True])
def test_iwslt_sends_every_23rd_pair_to_validation(tmp_path, manual, unpacked):
    content = packed(published(GERMAN, ENGLISH))
    if unpacked:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(manual, filter="data")
    else:
        (manual / "de-en.tgz").write_bytes(content)
    splits = prepared(tmp_path)
    lines = [("zwei worte", "two words"), ("about zwei worte", "about two words")]
    lines += [(german.lower(), english.lower()) for german, english in zip(GERMAN, ENGLISH)]
    assert splits["validation"] == [lines[22], lines[45]]
    assert splits["train"] == lines[:22] + lines[23:45] + lines[46:]


def test_iwslt_tests_on_five_files_in_the_script_s_order(tmp_path, manual):
    (manual / "de-en.tgz").write_bytes(packed(published(GERMAN, ENGLISH)))
    test = prepared(tmp_path)["test"]
    parts = ["dev2010", "dev2012", "tst2010", "tst2011", "tst2012"]
    assert test[::2] == [(f"de {part} r&d", f"en {part} r&d") for part in parts]
    assert test[1::2] == [("de's second", "en's second")] * 5


@pytest.mark.parametrize(
    "german, english, stays",
    [
        ("eins zwei", "one two three", True),
        ("eins zwei", "one two three four", False),
        ("a b c d", "a b", False),
        ("", "one", False),
        ("wort " * 175, "word " * 175, True),
        ("wort " * 176, "word " * 175, False),
        ("Ja, ja.", "don't stop ...", True),  # words and punctuation marks count
    ],
)
def test_iwslt_trains_on_pairs_of_like_length_only(german, english, stays):
    assert iwslt14.is_clean((german, english)) == stays


def test_iwslt_counts_words_about_as_moses_does():
    counts = {"it's 3.5 m, well-known ...": 7, "Ja!": 2, "<a>": 3}
    assert {line: len(iwslt14.WORD.findall(line)) for line in counts} == counts


def test_iwslt_keeps_lines_together_that_hold_unusual_breaks(tmp_path, manual):
    german = [*GERMAN, "zwei\u2028Zeilen\x85hier"]
    (manual / "de-en.tgz").write_bytes(packed(published(german, [*ENGLISH, "two lines here"])))
    assert prepared(tmp_path)["train"][-1] == ("zwei zeilen hier", "two lines here")


@pytest.mark.parametrize(
    "content, what",
    [
        (packed(published(GERMAN[1:], ENGLISH)), "train.tags.de-en.de has 49 sentences and .* 50. Download it again"),
        (packed({"de-en/README": b""}), "does not contain de-en/train.tags.de-en.de"),
        (packed(published(GERMAN, ENGLISH))[:-200], "de-en.tgz: "),
        (b"<html>not found</html>", "de-en.tgz: "),
    ],
    ids=["a line short", "a file missing", "cut short", "another file"],
)
def test_an_archive_that_is_damaged_or_another_is_named(tmp_path, manual, content, what):
    (manual / "de-en.tgz").write_bytes(content)
    with pytest.raises(UserError, match=what) as error:
        Source("iwslt14_de_en", tmp_path).prepare()
    assert str(manual / "de-en.tgz") in message(error)
    assert not Source("iwslt14_de_en", tmp_path).is_prepared


def test_iwslt_is_downloaded_only_if_that_is_allowed(tmp_path, monkeypatch):
    archive = tmp_path / "published" / "de-en.tgz"
    archive.parent.mkdir()
    archive.write_bytes(packed(published(GERMAN, ENGLISH)))
    monkeypatch.setattr(Iwslt14DeEn, "URL", str(archive))
    folder = tmp_path / "tfds"
    with pytest.raises(DataNotPrepared, match="--mode=prepare --download; or put de-en.tgz into ") as error:
        open_pairs("iwslt14_de_en", folder)
    message(error)
    with pytest.raises(UserError, match="add --download; or put de-en.tgz into .*/downloads/manual") as error:
        Source("iwslt14_de_en", folder).prepare()
    message(error)
    assert not folder.exists()
    assert open_pairs("iwslt14_de_en", folder, download=True).num_pairs("test") == 10


# WMT'14


def test_wmt_is_read_from_english_to_french(tmp_path, monkeypatch):
    rows = [(number, {"en": f"sentence {number}", "fr": f"phrase {number}"}) for number in range(9)]
    # What reads the archives is replaced; what writes stays TFDS's.
    wmt = tfds.builder_cls("wmt14_translate")
    monkeypatch.setattr(wmt, "_split_generators", lambda self, dl_manager: {split: iter(rows) for split in SPLITS})
    data = open_pairs("wmt14_translate/fr-en", tmp_path, download=True)
    source, target = data.pairs("train")
    assert sorted(source) == [f"sentence {number}" for number in range(9)]
    assert [line.replace("sentence", "phrase") for line in source] == list(target)


def test_wmt_asks_for_a_download_and_for_nothing_by_hand(tmp_path):
    with pytest.raises(DataNotPrepared, match=r"the same command with --mode=prepare --download\.") as error:
        open_pairs("wmt14_translate/fr-en", tmp_path)
    message(error)
    with pytest.raises(UserError, match="must be downloaded to .* add --download") as error:
        Source("wmt14_translate/fr-en", tmp_path).prepare()
    message(error)


# Django's catalogues

HEADER = r"""
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"""


def catalogue(folder, entries, app="admin"):
    path = folder / app / "locale" / "de" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    path.write_text(f"{HEADER}\n{entries}", "utf-8")
    return folder


@pytest.mark.parametrize(
    "entry, pairs",
    [
        ('msgid "Yes"\nmsgstr "Ja"', [("Ja", "Yes")]),
        ('msgid "Yes"\nmsgstr ""', []),
        ('#, fuzzy\nmsgid "Yes"\nmsgstr "Ja"', []),
        ('#~ msgid "Yes"\n#~ msgstr "Ja"', []),
        (
            'msgid "%(num)d day"\nmsgid_plural "%(num)d days"\nmsgstr[0] "%(num)d Tag"\nmsgstr[1] "%(num)d Tage"',
            [("%(num)d Tag", "%(num)d day"), ("%(num)d Tage", "%(num)d days")],
        ),
        ('msgid "\\nOne\\n  two "\nmsgstr "Eins\\n\\nzwei"', [("Eins zwei", "One two")]),
    ],
)
def test_a_message_gives_a_pair_if_it_is_translated(tmp_path, entry, pairs):
    assert list(django_catalogues.messages(catalogue(tmp_path, entry))) == pairs


def test_of_messages_with_the_same_words_the_first_stays():
    first = [("Benutzername:", "Username:"), ("Größe", "Size")]
    later = [("benutzername", "user"), ("Konto", "username"), ("<b>Größe</b> %s", "Length"), ("%(a)s, %(b)s", "{}")]
    assert list(django_catalogues.distinct(first + later)) == first


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The embedded sample, prepared by opening it."""
    return open_pairs("django_de_en", tmp_path_factory.mktemp("tfds_django"))


def test_the_sample_is_cut_into_about_90_5_and_5_per_cent(sample):
    counts = [sample.num_pairs(split) for split in SPLITS]
    for count, share in zip(counts, (0.9, 0.05, 0.05)):
        assert abs(count - share * sum(counts)) < 4 * (share * (1 - share) * sum(counts)) ** 0.5


def test_the_sample_has_the_package_s_german_as_source(sample):
    pairs = set(zip(*sample.pairs("train+validation+test")))
    assert ("Januar", "January") in pairs
    assert pairs <= set(django_catalogues.messages(django_catalogues._package()))


@pytest.mark.parametrize("other", ["train", "validation"])
def test_no_sentence_of_the_test_split_is_in_another(sample, other):
    for test, known in zip(sample.pairs("test"), sample.pairs(other)):
        assert not set(map(django_catalogues.words, test)) & set(map(django_catalogues.words, known))


def test_the_sample_does_not_import_the_package(sample):
    assert "django" not in sys.modules


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "django", None)
    with pytest.raises(UserError, match="No module named 'django'") as error:
        open_pairs("django_de_en", tmp_path)
    message(error)


def test_a_package_without_german_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(django_catalogues, "CATALOGUES", "**/locale/xx/*.po")
    with pytest.raises(UserError, match="no .*/locale/xx/.* Install django 5.2 again") as error:
        open_pairs("django_de_en", tmp_path)
    message(error)


def test_a_damaged_record_file_is_named_when_pairs_are_read(tmp_path, manual):
    (manual / "de-en.tgz").write_bytes(packed(published(GERMAN, ENGLISH)))
    Source("iwslt14_de_en", tmp_path).prepare()
    (file,) = pathlib.Path(tmp_path, "iwslt14_de_en", "1.0.0").glob("iwslt14_de_en-train.tfrecord*")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(tf.errors.OpError) as error:
        open_pairs("iwslt14_de_en", tmp_path).pairs("train")
    assert str(damage.explain(error.value)).startswith(f"{file} could not be read completely")
