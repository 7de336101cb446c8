"""What is wrong with this dataset, in a few sentences?"""
