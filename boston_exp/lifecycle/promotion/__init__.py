"""From a run to production and back: gate, model card, registry, DVC and git as one step."""
