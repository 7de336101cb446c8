"""Which objects are in the image and not in the label, and which labels are wrong?"""
