"""Sound as numbers: G.711, voice activity, tones, WAV."""
