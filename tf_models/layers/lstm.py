"""An LSTM layer with a custom gradient on the CPU and cuDNN's kernel on GPUs.

Automatic differentiation of a loop over time accumulates the weight gradients step by step. The custom gradient leaves
only the recurrent product in the loop: the product with the inputs comes before it and all weight gradients after it,
each as one matrix product over all steps.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_models.layers.counting import Shapes, exact_bytes, size
from tf_models.layers.devices import has_cudnn


@keras.saving.register_keras_serializable(package="tf_models")
class LSTM(keras.layers.Layer):
    """An LSTM over sequences with explicit input and output state; gates i, f, c, o with tanh and sigmoid.

    Weights have the names, order and shapes of `keras.layers.LSTM`: `kernel` [inputs, 4 units], `recurrent_kernel`
    [units, 4 units], `bias` [4 units]. `use_recurrent_bias` adds the second bias of PyTorch and cuDNN, which matters to
    optimizers that use norms of whole tensors. All are initialised uniformly in +-`initial_range` (by default
    1 / sqrt(units), as in PyTorch).

    Called with a sequence [batch, time, inputs] and a state ([batch, units] hidden, [batch, units] cell), returns the
    hidden states [batch, time, units] and the state after the last step. The number of steps may vary. Under a mixed
    policy only matrix products are in half precision; the state stays in float32.
    """

    def __init__(self, units: int, use_recurrent_bias: bool = False, initial_range: float | None = None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.use_recurrent_bias = use_recurrent_bias
        self.initial_range = initial_range

    def build(self, inputs_shape, state_shape):
        limit = self.initial_range or self.units**-0.5
        shapes = {
            "kernel": (inputs_shape[-1], 4 * self.units),
            "recurrent_kernel": (self.units, 4 * self.units),
            "bias": (4 * self.units,),
        }
        if self.use_recurrent_bias:
            shapes["recurrent_bias"] = (4 * self.units,)
        for name, shape in shapes.items():
            initializer = keras.initializers.RandomUniform(-limit, limit)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False))

    def call(self, inputs, state):
        hidden, cell = state
        kernel, recurrent_kernel, bias = map(tf.convert_to_tensor, (self.kernel, self.recurrent_kernel, self.bias))
        recurrent_bias = tf.convert_to_tensor(self.recurrent_bias) if self.use_recurrent_bias else tf.zeros_like(bias)
        sequence = tf.cast(tf.transpose(inputs, [1, 0, 2]), self.compute_dtype)
        run = _cudnn if has_cudnn(sequence) else _by_hand
        sequence, hidden, cell = run(sequence, kernel, recurrent_kernel, bias, recurrent_bias, hidden, cell)
        return tf.transpose(tf.cast(sequence, self.compute_dtype), [1, 0, 2]), hidden, cell

    def compute_output_spec(self, inputs, state):
        hidden, cell = state
        sequence = keras.KerasTensor((*inputs.shape[:-1], self.units), dtype=self.compute_dtype)
        return (sequence, *(keras.KerasTensor(part.shape, dtype=part.dtype) for part in (hidden, cell)))

    def multiply_adds(self, inputs: Shapes, outputs: Shapes) -> int:
        time, _ = inputs[0]
        return time * size(self.kernel, self.recurrent_kernel)

    def bytes_inside(self, inputs: Shapes, outputs: Shapes, element_bytes: int) -> int:
        """Counts four gates, cell and hidden state of every step."""
        time, _ = inputs[0]
        return exact_bytes(element_bytes) * time * 6 * self.units

    def get_config(self):
        options = ("units", "use_recurrent_bias", "initial_range")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}


def _by_hand(x, kernel, recurrent_kernel, bias, recurrent_bias, hidden, cell):
    """Runs the cells over x [time, batch, inputs]; the two biases are summed.

    Products are computed in the dtype of x, everything else in that of the state. Returns the hidden states [time,
    batch, units] and the last hidden and cell state [batch, units].
    """
    units, batch = recurrent_kernel.shape[0], x.shape[1]
    exact, quick = hidden.dtype, x.dtype
    # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: with the halves in the weights, one tanh serves all four gates.
    half, one = tf.fill([units], tf.constant(0.5, exact)), tf.ones([units], exact)
    scale, offset = tf.concat([half, half, one, half], 0), tf.concat([half, half, 0 * one, half], 0)

    def product(left, right, **transposed):
        return tf.cast(tf.matmul(tf.cast(left, quick), tf.cast(right, quick), **transposed), exact)

    def per_step(steps, width):
        return tf.TensorArray(exact, steps, element_shape=[batch, width])

    @tf.custom_gradient
    def run(x, kernel, recurrent_kernel, bias, hidden, cell):
        steps = tf.shape(x)[0]
        scaled_kernel = tf.cast(recurrent_kernel * scale, quick)
        driven = product(_rows(x), kernel * scale) + bias * scale
        # The loop takes slices of it: of the first axis they are no copies.
        driven = tf.ensure_shape(tf.reshape(driven, [steps, -1, 4 * units]), [None, batch, 4 * units])

        def step(time, hidden, cell, gates, cells, hiddens):
            gate = tf.tanh(driven[time] + product(hidden, scaled_kernel)) * scale + offset
            i, f, c, o = tf.split(gate, 4, axis=1)
            cell = f * cell + i * c
            hidden = o * tf.tanh(cell)
            gates, cells, hiddens = gates.write(time, gate), cells.write(time, cell), hiddens.write(time, hidden)
            return time + 1, hidden, cell, gates, cells, hiddens

        arrays = (per_step(steps, 4 * units), per_step(steps, units), per_step(steps, units))
        _, last_hidden, last_cell, *arrays = tf.while_loop(
            lambda time, *_: time < steps, step, (0, hidden, cell, *arrays), parallel_iterations=1
        )
        gates, cells, hiddens = (array.stack() for array in arrays)

        def gradient(of_hiddens, of_hidden, of_cell):
            i, f, c, o = tf.split(gates, 4, axis=2)
            squashed = tf.tanh(cells)
            cells_before = tf.concat([cell[tf.newaxis], cells[:-1]], 0)
            hiddens_before = tf.concat([hidden[tf.newaxis], hiddens[:-1]], 0)
            # What does not depend on the gradients is made for all steps at once.
            into_gates = tf.concat(
                [
                    tf.raw_ops.SigmoidGrad(y=i, dy=c),
                    tf.raw_ops.SigmoidGrad(y=f, dy=cells_before),
                    tf.raw_ops.TanhGrad(y=c, dy=i),
                    tf.raw_ops.SigmoidGrad(y=o, dy=squashed),
                ],
                axis=2,
            )
            into_cell = tf.raw_ops.TanhGrad(y=squashed, dy=o)
            transposed = tf.cast(tf.transpose(recurrent_kernel), quick)  # once: oneDNN would do it in every step

            def step_back(time, of_hidden, of_cell, of_gates):
                of_hidden += of_hiddens[time]
                of_cell += of_hidden * into_cell[time]
                of_gate = tf.concat([of_cell, of_cell, of_cell, of_hidden], 1) * into_gates[time]
                of_cell *= f[time]
                return time - 1, product(of_gate, transposed), of_cell, of_gates.write(time, of_gate)

            start = (steps - 1, of_hidden, of_cell, per_step(steps, 4 * units))
            _, of_hidden, of_cell, of_gates = tf.while_loop(
                lambda time, *_: time >= 0, step_back, start, parallel_iterations=1
            )
            of_gates = _rows(of_gates.stack())
            return (
                tf.cast(tf.reshape(product(of_gates, kernel, transpose_b=True), tf.shape(x)), quick),
                product(_rows(x), of_gates, transpose_a=True),
                product(_rows(hiddens_before), of_gates, transpose_a=True),
                tf.reduce_sum(of_gates, 0),
                of_hidden,
                of_cell,
            )

        return (hiddens, last_hidden, last_cell), gradient

    return run(x, kernel, recurrent_kernel, bias + recurrent_bias, hidden, cell)


def _cudnn(x, kernel, recurrent_kernel, bias, recurrent_bias, hidden, cell):
    """Same as `_by_hand` with cuDNN, in the dtype of x: one weight vector, transposed matrices, same gate order."""
    weights = [*tf.split(kernel, 4, axis=1), *tf.split(recurrent_kernel, 4, axis=1)]
    parameters = [tf.reshape(tf.transpose(weight), [-1]) for weight in weights]
    sequence, last_hidden, last_cell, _ = tf.raw_ops.CudnnRNN(
        input=x,
        input_h=tf.cast(hidden, x.dtype)[tf.newaxis],
        input_c=tf.cast(cell, x.dtype)[tf.newaxis],
        params=tf.cast(tf.concat([*parameters, bias, recurrent_bias], 0), x.dtype),
        rnn_mode="lstm",
        is_training=True,
    )
    return sequence, tf.cast(last_hidden[0], hidden.dtype), tf.cast(last_cell[0], cell.dtype)


def _rows(sequence: tf.Tensor) -> tf.Tensor:
    """Reshapes [time, batch, width] to [time * batch, width]."""
    return tf.reshape(sequence, [-1, sequence.shape[-1]])
