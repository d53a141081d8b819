"""The laboratory of tanas: experiments that return records, and pages made of records."""
