"""What a page holds: the answers of every question, and the images, cells and points that it carries."""
