"""What `xfm data check` says of user data, before anything is trained."""
