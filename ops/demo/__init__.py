"""The demo: the whole path of a change on real parts, with everything going wrong that may, judged by its invariants.

scenario  who asks for what, what goes wrong, how each change must end     run       plays it on real processes
evidence  what was seen, by all sides                                       checks    which invariants held
figures   what it amounts to                                                show      for people
"""
