"""What is in the dataset that nobody labelled? (Figure 10, A.8)"""
