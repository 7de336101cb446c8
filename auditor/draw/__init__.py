"""What drawings share: lettering, colours, cells over a photograph, cards, charts."""
