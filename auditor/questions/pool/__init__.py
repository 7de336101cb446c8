"""What would an image be taken for, had its cells been pooled by another rule than the mean? (section 6)"""
