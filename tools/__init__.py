"""Command-line tools of the project. They run from the checkout: ``python -m tools.bench``."""
