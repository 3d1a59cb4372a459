"""Which of two siblings came out better, and a writer that learns from it.

`pairs` reads preferences from attempts, `orpo` is the loss on them, `choices` spells a genome as a
sequence of choices, `network` learns which choices are preferred.
"""
