"""What do the metrics say of a head that is trained on the stored vectors? (section 4.3, A.4)"""
