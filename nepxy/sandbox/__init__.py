"""A stand-in for mobile-money providers: a separate server that speaks their real protocols, bad days included.

It is written from the providers' contract page only and imports nothing else of NepXy, so that an adapter and its
stand-in can never share a misreading. It keeps a ledger of the money that it moved: the oracle for "paid exactly once".
"""
