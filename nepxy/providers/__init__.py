"""One adapter a provider: wire format in, outcome out. Adapters map; they never decide what follows."""
