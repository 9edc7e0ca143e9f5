"""The papers' experiments, one module per paper or part of one."""

# In the order of --list_experiments. To add a module, add its name here.
MODULES = (
    "resnet",
    "efficientnet",
    "sha_rnn",
    "double_descent",
    "double_descent_mlp",
    "double_descent_translation",
    "double_descent_features",
)
