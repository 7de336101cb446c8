"""What differs between two indexes of the same images?"""
