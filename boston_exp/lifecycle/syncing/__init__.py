"""Brings runs to where everybody finds them: what there is to do, and how it went."""
