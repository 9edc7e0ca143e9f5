"""`--mode=train`: trains, evaluates and exports one experiment; resumes if the folder contains its checkpoints."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable

import tensorflow as tf

from flags.errors import RunError, UserError
from flags.run import Run
from trainers.loop.bn_statistics import batch_norms, exact_statistics
from trainers.loop.windows import Calls, Evaluations, Window
from trainers.run import strategy as strategies
from trainers.run.checkpoints import Checkpoints, DamagedCheckpoint
from trainers.run.console import Console, duration
from trainers.run.export import write_keras_model, write_saved_model
from trainers.run.files import write_json
from trainers.run.layers import initialise
from trainers.run.results import results_of, summary
from trainers.run.signals import Stopped, StopSignals
from trainers.run.tensorboard import TensorBoard
from trainers.session import Session, open_session
from trainers.tasks.evaluation import Evaluation


def train(run: Run) -> None:
    """Runs `--experiment` to the end, or until it is stopped.

    Raises:
        UserError: the folder, the data or the flags are unsuitable.
        RunError: the loss is not finite, or the disk is full.
        Stopped: stopped by SIGTERM or Ctrl-C, with everything saved.
    """
    session = open_session(run)
    lock = session.folder.locked() if session.is_chief else contextlib.nullcontext()
    with lock, StopSignals() as signals:
        Training(session, signals).run()


class Training:
    """One run: its state, its folder, and the work between calls of the loop.

    In a cluster every worker runs this code and takes the same steps; only the chief writes files.
    """

    def __init__(self, session: Session, signals: StopSignals):
        recipe = session.recipe
        continues = session.is_chief and session.folder.holds(recipe, session.settings)
        self._session = session
        self._task = session.task
        self._signals = signals
        self._recipe = recipe
        self._folder = session.folder
        self._checkpoints = Checkpoints(session.folder.checkpoints, keep=recipe.train.keep_checkpoints)
        self._console = Console(
            total_steps=session.task.length.total,
            steps_per_epoch=session.task.length.per_epoch,
            quiet=session.run.quiet or not session.is_chief,
        )
        self._state = session.build_state()
        self._check_batch_norms()
        self._variables = self._state.variables()
        self._evaluations = Evaluations(recipe.train)
        self._evaluation = self._task.evaluation(self._task.validation_protocol, session.strategy, self._state.model)
        self._seconds = 0.0  # spent in training steps, including previous processes
        self._restore(continues)
        # Last, so that after a user error the folder is free for the corrected command.
        if session.is_chief and not continues:
            session.folder.write_assets(session.task.assets())
            session.folder.claim(recipe, session.settings)
        self._board = TensorBoard(session.folder) if session.is_chief else None

    @property
    def _step(self) -> int:
        return int(self._state.step.numpy())

    def run(self) -> None:
        self._announce()
        if self._board and self._step == 0:
            self._board.recipe(self._recipe)
            self._task.write_inputs(self._board)
        if self._step < self._task.length.total:
            (self._solve if self._task.is_closed_form else self._train)()
        self._finish()

    # Starting

    def _check_batch_norms(self) -> None:
        """Raises UserError for batch-norm settings if the network has no batch norm."""
        train = self._recipe.train
        for field, given in (
            ("exact_bn_statistics", train.exact_bn_statistics),
            ("batch_norm_batch", train.batch_norm_batch is not None),
        ):
            if given and not batch_norms(self._state.model):
                raise UserError(
                    f"train.{field}={str(getattr(train, field)).lower()}: {self._recipe.model.name} has no batch norm. "
                    "Remove this setting."
                )

    def _restore(self, continues: bool) -> None:
        """Resumes from the newest intact checkpoint, if any."""
        saved = self._checkpoints.restore_latest(self._variables)
        if saved:
            self._seconds = saved["seconds"]
            if self._state.stateful is not None:
                self._state.stateful.scatter()
        elif self._recipe.init.path:
            self._initialise()
        if continues:
            self._checkpoints.drop_after(self._step)
            self._folder.forget_after(self._step)
            if saved and saved.get("best") is not None:  # the run may have been killed before marking it
                self._checkpoints.mark_best(self._step, self._task.monitor, saved["best"])
        self._agree_on_step()

    def _initialise(self) -> None:
        for line in initialise(self._state.model, self._recipe.init):
            self._console.say(f"--init_from: {line}")
        if self._state.average is not None:
            self._state.average.restart()

    def _agree_on_step(self) -> None:
        """Raises UserError unless all workers of a cluster have read the same checkpoint."""
        step = self._step
        if self._sum(lambda replica: float(step)) != step * self._session.strategy.num_replicas_in_sync:
            raise UserError(
                f"--model_dir={self._folder.path}: the workers found different checkpoints; "
                "give a folder that all workers share."
            )

    def _sum(self, of_replica: Callable[[int | tf.Tensor], float | tf.Tensor]) -> float:
        """Sums `of_replica(replica id)` over all replicas; synchronises the workers of a cluster."""
        strategy = self._session.strategy

        def add():
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce("sum", tf.convert_to_tensor(of_replica(replica.replica_id_in_sync_group)))

        return float(strategy.experimental_local_results(strategy.run(tf.function(add)))[0])

    def _announce(self) -> None:
        session, recipe = self._session, self._recipe
        self._console.say(
            f"{recipe.name} ({recipe.paper.row})\n"
            f"data {recipe.data.name} ({session.variant}); {strategies.describe(session.strategy, session.precision)}; "
            f"global batch {recipe.train.global_batch}; {self._task.length.total} steps; folder {self._folder.path}"
        )
        if self._step:
            self._console.say(f"resuming from step {self._step} ({duration(self._seconds)} trained so far)")

    # Training

    def _train(self) -> None:
        session, step, length = self._session, self._step, self._task.length
        loop = session.build_loop(self._state)
        iterator = iter(self._task.distributed_batches(session.strategy, step))
        calls = Calls(
            self._recipe.train,
            length,
            profile=session.run.profile,
            timed=not strategies.is_cluster(session.strategy),
        )
        window = Window(self._task.unit)
        first = True
        while step < length.total:
            self._profile(step)
            if step == length.first_pass:
                self._begin_second_pass()
            steps = calls.steps_from(step)
            began = time.perf_counter()
            numbers = loop.run(iterator, steps, stop=self._signals.requested)
            seconds = time.perf_counter() - began
            window.add(numbers, steps, self._task.units(step, steps), seconds)
            step += steps
            self._seconds += seconds
            calls.took(steps, seconds, compiled=first)
            self._check_finite(numbers)
            if first:
                self._console.began(step)
                first = False
            self._console.progress(step)
            self._between_calls(step, window)
            if numbers["stops"] and step < length.total:
                self._save(step)
                raise Stopped(
                    f"stopped at step {step}; everything is saved in {self._folder.path}. "
                    "Run the same command to resume."
                )

    def _solve(self) -> None:
        """Takes the single step of a closed-form fit."""
        began = time.perf_counter()
        self._task.solve(self._state.model)
        self._seconds += time.perf_counter() - began
        self._state.step.assign(1)
        if self._recipe.data.validation_split is not None:
            self._evaluate(1)
        self._save(1)

    def _between_calls(self, step: int, window: Window) -> None:
        train, length = self._recipe.train, self._task.length
        last = step in (length.total, length.first_pass)
        if step % train.log_every == 0 or last:
            self._report(step, "train", window.close())
        best = None
        if self._recipe.data.validation_split is not None and (step in self._evaluations or last):
            best = self._evaluate(step)
        if step % train.checkpoint_every == 0 or last or best is not None:
            self._save(step, best)

    def _evaluate(self, step: int) -> float | None:
        """Evaluates the averaged weights; returns the monitored metric if it is the best and the best is needed."""
        if self._recipe.train.measure_fit:
            self._report(step, "fit", self._evaluation.fit(self._state.averaged()))
        metrics = self._evaluation.run(self._recipe.data.validation_split, self._state.averaged())
        self._report(step, "eval", {name: metrics[name] for name in self._task.metric_names})
        value, best = metrics[self._task.monitor], self._checkpoints.best
        if self._state.schedule is not None:
            self._state.schedule.after_evaluation(value)
        if self._recipe.train.select != "best" and self._task.length.first_pass is None:
            return None
        return value if best is None or self._task.is_better(value, best["value"]) else None

    def _begin_second_pass(self) -> None:
        """Restores the best weights so far and resets the optimizer (`flags.schedules.WarmUp`)."""
        step = self._step
        best = self._restore_best()
        self._console.say(f"second pass: from the weights of step {best}, with a new optimizer state")
        self._state.optimizer.reset()
        self._state.step.assign(step)

    def _restore_best(self) -> int:
        """Restores the best checkpoint, or that of the current step if none is marked; returns its step.

        Workers of a cluster wait for the chief, which writes checkpoints, and restore the same one.
        """
        best = self._checkpoints.best
        marked = float(best["step"] if best else self._step)
        step = int(self._sum(lambda replica: tf.where(tf.equal(replica, 0), marked, 0.0)))
        try:
            self._checkpoints.restore(step, self._variables)
        except DamagedCheckpoint as error:
            raise RunError(f"{error}. It is the best checkpoint, and the run cannot continue without it.") from error
        return step

    def _report(self, step: int, split: str, numbers: dict[str, float]) -> None:
        if self._session.is_chief:
            task = self._task
            numbers = task.derived(numbers)
            self._console.report(step, split, numbers)
            seen = {"seconds": round(self._seconds, 3), f"{task.unit}s": task.units(0, step)}
            self._folder.log(step, split, numbers | seen)
            self._board.scalars(step, split, numbers)

    def _save(self, step: int, best: float | None = None) -> None:
        """Writes a checkpoint; `best`, its monitored metric, marks it as the best so far."""
        if self._state.stateful is not None:
            self._state.stateful.gather()
        if not self._session.is_chief:
            return
        self._board.flush()
        try:
            self._checkpoints.save(step, self._variables, {"step": step, "seconds": self._seconds, "best": best})
            if best is not None:
                self._checkpoints.mark_best(step, self._task.monitor, best)
        except OSError as error:
            raise RunError(
                f"{error}. Earlier checkpoints are intact; free some space and run the same command again."
            ) from error

    def _check_finite(self, numbers: dict[str, float]) -> None:
        if numbers["first_nonfinite"] < 0:
            return
        step = int(numbers["first_nonfinite"])
        saved = self._checkpoints.steps()
        good = (
            f"the last good checkpoint is {self._checkpoints.path(saved[-1])}"
            if saved
            else "no checkpoint has been saved yet"
        )
        raise RunError(
            f"the loss or its gradient is no longer finite at step {step} "
            f"(learning rate {numbers['lr']:.3g}); {good}. Lower the learning rate (--set=schedule...), "
            "clip the gradient (--set=train.clip_norm=1), or check the data."
        )

    def _profile(self, step: int) -> None:
        """Starts and stops TensorFlow's profiler at the steps of `--profile`."""
        if self._session.run.profile and self._session.is_chief:
            first, last = self._session.run.profile
            if step == first:
                tf.profiler.experimental.start(str(self._folder.train_events))
            elif step == last:
                tf.profiler.experimental.stop()

    # Results

    def _finish(self) -> None:
        """Tests the averaged weights of the selected checkpoint, exports them, writes results.json."""
        session, model = self._session, self._state.model
        selected = self._task.length.total
        if self._recipe.train.select == "best":
            selected = self._restore_best()
        tests, split = self._tests(), self._recipe.data.test_split
        test = functools.partial(tests.run, split)
        others = {}  # keys: those of `results.OTHER_METRICS`, and `fit`
        if self._state.average is not None:
            others["metrics_without_average"] = test()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._state.averaged())
            if self._recipe.train.exact_bn_statistics:
                others["metrics_with_moving_statistics"] = test()
                self._console.say("batch norm: averaging its statistics over an epoch")
                stack.enter_context(exact_statistics(self._task, session.strategy, self._state))
            metrics = test()
            if self._recipe.train.measure_fit:
                others["fit"] = self._evaluation.fit()
            if not session.is_chief:
                return
            self._folder.write_assets(tests.assets(split))
            further, extras = tests.final(split)
            write_keras_model(model, self._folder.keras_model)
            exports = session.run.export
            difference = write_saved_model(self._task, model, self._folder.saved_model) if exports else None
        tests.write_extras(extras, self._board, selected)
        numbers = {"metrics": metrics | further, **others, **extras}
        results = results_of(
            self._task, model, numbers, variant=session.variant, selected_step=selected, seconds=self._seconds
        )
        write_json(self._folder.results, results)
        self._board.close()
        print(summary(self._task, self._folder, results, extras=tests.format_extras(extras), difference=difference))

    def _tests(self) -> Evaluation:
        """The final evaluation; reuses that of training if the protocol is the same, with its compiled functions."""
        task = self._task
        if task.test_protocol == task.validation_protocol:
            return self._evaluation
        return task.evaluation(task.test_protocol, self._session.strategy, self._state.model)
