"""Runs of images and of language models with made-up numbers."""

from tests.trainers.figures.run_folders import write_folder, write_measurement
from trainers.figures.sha_rnn import figures as sha_rnn
from trainers.figures.sha_rnn.models import UNITS

COMPRESSORS = {
    "alone": {"gzip -9": 2.9, "bzip2 -9": 2.4, "xz -9e": 2.5},
    "after the training part": {"gzip -9": 2.8, "bzip2 -9": 2.3, "xz -9e": 2.1},
}
ATTENTION = {
    "unit": "byte", "passage": list("the↵$cat"), "begin": 512, "memory": 500, "edges": [0, 1, 2, 4, 500],
    "layers": [
        {
            "layer": layer, "weights": [[0.1 * layer, 0.0, 0.2, 0.01 * row] for row in range(8)], "share": 0.25,
            "looks": [{"back": 300, "weight": 0.1234, "read": "the United‖ States", "there": "The United‖ Kingdom"}],
        }
        for layer in (1, 2)
    ],
}  # fmt: skip


def write_run(
    parent, experiment="plain20_cifar10", *, data="paper", seed=0, train=None, test=None, finished=True, changes=(),
    responses=None, moving=None, name=None,
):  # fmt: skip
    """Writes the folder of a run of images and returns its path.

    `train` and `test` are errors in % by step; an unfinished run has no results, and `responses` are those that an
    earlier report measured.
    """
    rows = [
        (step, split, {"loss": error / 20, "top1": 1 - error / 100, "top5": 0.99, "lr": 0.1})
        for split, errors in (("train", train or {100: 40, 200: 20}), ("eval", test or {100: 50, 200: 15}))
        for step, error in errors.items()
    ]
    top1 = 1 - list((test or {200: 15}).values())[-1] / 100
    results = {
        "experiment": experiment, "data": data, "parameters": 269722, "multiply_adds": 40551040,
        "metrics": {"loss": 0.5, "top1": top1, "top5": 0.99, "examples": 1000}, "steps": 200, "seconds": 7200,
    }  # fmt: skip
    if moving is not None:
        results["metrics_with_moving_statistics"] = {"loss": 0.6, "top1": 1 - moving / 100, "top5": 0.98}
    folder = write_folder(
        parent / (name or f"{experiment}_{data}_{seed}_{len(changes)}"),
        experiment,
        data=data,
        seed=seed,
        changes=changes,
        rows=rows,
        results=results if finished else None,
    )
    if responses:
        write_measurement(folder, "layer_responses", responses)
    return folder


def write_text_run(
    parent, experiment="sha_rnn_enwik8", *, data="paper", seed=0, train=None, valid=None, test=1.08, finished=True,
    changes=(), pace=1.0, old=False, metric="bpc", compressors=None, attention=None, selected=20, parameters=1000,
):  # fmt: skip
    """Writes the folder of a run of a language model and returns its path.

    `train` and `valid` are losses in nats by step; a step has 1,000,000 bytes or words and takes `pace` seconds, which
    an `old` run did not log.
    """
    of_loss = sha_rnn.OF_LOSS[metric][0]
    rows = [
        (
            step,
            split,
            {"loss": loss, metric: float(of_loss(loss)), "lr": 0.002}
            | ({} if old else {"seconds": pace * step, UNITS[metric]: 1_000_000 * step}),
        )
        for split, losses in (("train", train or {10: 2, 20: 1}), ("eval", valid or {10: 1.5, 20: 0.8}))
        for step, loss in losses.items()
    ]
    metrics = {"loss": 1.0, metric: test, f"{metric}_author": test - 0.0001, "lanes": 8}
    results = {"metrics": metrics, "selected_step": selected, "parameters": parameters, "seconds": 7200}
    results |= {"compressors": compressors} if compressors else {}
    folder = write_folder(
        parent / f"{experiment}_{data}_{seed}_{len(changes)}",
        experiment,
        data=data,
        seed=seed,
        changes=changes,
        rows=rows,
        results=results if finished else None,
    )
    if attention:
        write_measurement(folder, "attention_weights", attention)
    return folder
