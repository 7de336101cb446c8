"""Why is each wrong image wrong?"""
