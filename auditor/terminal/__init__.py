"""What commands share: options, one decorator that asks and shows, progress, any view on a console."""
