"""Are this backbone's cells worth reading?"""
