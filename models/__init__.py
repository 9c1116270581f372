"""The models: each file holds one, its architecture, its configuration and its command line."""
