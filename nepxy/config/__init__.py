"""Settings read once from the environment, secrets that never print, masking and the set-up of logs.

The only room that touches `os.environ`. It imports nothing of ours but `nepxy.errors`.
"""
