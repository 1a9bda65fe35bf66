"""The documentation site: pages made by running the engine, beside the guides of this folder, built by zensical.

`python -m docs.site` (or `make site`) writes pages and navigation under build/, builds them, and checks every link.
"""
