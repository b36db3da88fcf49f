"""The training core. Read it in the order of a batch's way: game.py, batch.py, step.py, loop.py; then what you need."""
