"""The files of a model outside of a store: names that whoever writes them and whoever reads them share."""

from __future__ import annotations

from boston_exp.lifecycle.evidence import OUT_OF_FOLD

MODEL, PROFILE = "model.skops", "profile.json"
CARD, PAGE, PROMISE = "card.md", "card.html", "card.json"  # the card for people, the same as a page, and for programs
CHECKED = (MODEL, PROFILE, OUT_OF_FOLD)  # card.json has the md5 of each
