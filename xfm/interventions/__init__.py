"""What may be done to the gradients and targets of a step beyond the paper: one idea a file, each off by default.

`train.gradient_interventions` hooks them into a step, `flow.py` into a forward pass (docs/interventions.md)."""
