"""What operators' doorways share: commands as they come in, how they are given to the engine, and what is answered."""
