"""Downstream tasks: heads, losses, decoding and scores, as X-FM is fine-tuned and measured.

In fine-tuning no text is stopped: language, vision and fusion encoder all learn. Protocols agree with the published
code (github.com/zhangxinsong-nlp/XFM) where that is sound; where it is not, both forms are there and say so.
"""
