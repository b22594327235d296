"""What language models are told: the text is in ``templates``, filled in by ``render`` and cut to size by ``budget``."""
