"""The pages: each draws one part of a reading and forwards what the reader does to the store."""
