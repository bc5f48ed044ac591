"""The OpenAI Realtime protocol, GA shape: our client side of it, and the embedded model."""
