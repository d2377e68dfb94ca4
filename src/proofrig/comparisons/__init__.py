"""Verdicts about numbers: does this run pass?"""
