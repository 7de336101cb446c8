"""What drawings share, and (of_*.py) the pictures of one question's record each."""
