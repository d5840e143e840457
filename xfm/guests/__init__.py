"""Other libraries' models, for explanations and views as X-FM is: `xfm.load("open_clip:ViT-B-32", ...)`."""
